package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/display"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/recording"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// tailing has the flags of tail and record.
type tailing struct {
	operation, where, format, group, record string
	diff, retained, quiet                   bool
	qos                                     uint8
	count                                   int
	timeout                                 time.Duration
}

func (s *session) tailCommand() *cobra.Command {
	t := new(tailing)
	c := &cobra.Command{
		Use: "tail [FILTER...]", GroupID: groupSee, Aliases: []string{"sub", "subscribe"},
		Short: "Show messages as they arrive, decoded",
		Long: `Shows messages as they arrive, until it is interrupted.

Payloads are decoded by the operation that has the topic, by --descriptors; else as JSON, as text,
or as the numbered fields of an unknown protobuf message. The first line of a message names what
decoded it. A message that a service could not read is shown with the reason as its note.

--where selects messages by an expression in CEL with the variables time, topic, operation,
decoder, note, payload, size, qos, retained, duplicate, id, content_type and headers. A message
that lacks a field that the expression uses is not selected.

--format shows each message by a template of Go: {{.Time}} {{.Topic}} {{.Operation}} {{.Decoder}}
{{.Note}} {{.Payload}} {{.Field "sensors.co2"}} {{.Size}} {{.QoS}} {{.Retained}} {{.Duplicate}}
{{.ID}} {{.ContentType}} {{index .Headers "name"}}.

Messages of one FILTER are shown in the order of their arrival; one that matches several is shown
for each. The session is a new one and ends with the command, so services that are subscribed miss
nothing; with --group the members of the group share messages, and the command takes its part of them.`,
		Example: `kratos-mqtt tail 'devices/#' -d api
kratos-mqtt tail 'devices/+/data' -d api --where 'payload.temperature > 70.0' --diff
kratos-mqtt tail --retained '#'
kratos-mqtt tail 'alerts/#' --count 1 --timeout 30s --format '{{.Topic}} {{.Field "value"}}'`,
		RunE: func(c *cobra.Command, args []string) error { return s.tail(c, t, args) },
	}
	s.tailFlags(c, t)
	f := c.Flags()
	f.BoolVar(&t.diff, "diff", false, "show only what changed since the message before on the topic")
	f.StringVar(&t.format, "format", "", "template for each message")
	f.StringVar(&t.record, "record", "", "also record what is shown to a new file, see play")
	return c
}

func (s *session) recordCommand() *cobra.Command {
	t := &tailing{quiet: true}
	c := &cobra.Command{
		Use: "record FILE [FILTER...]", GroupID: groupSee, Args: cobra.MinimumNArgs(1),
		Short: "Record messages to a file, to publish them again with play",
		Long: `Records messages to a new file that only you can read, until it is interrupted.

The file has each message as the broker delivered it, and the time. A payload format indicator
(MQTT 5) is not recorded.`,
		Example: `kratos-mqtt record monday.rec 'devices/#' --timeout 10m
kratos-mqtt play monday.rec --speed 10`,
		RunE: func(c *cobra.Command, args []string) error {
			t.record = args[0]
			return s.tail(c, t, args[1:])
		},
	}
	s.tailFlags(c, t)
	return c
}

func (s *session) tailFlags(c *cobra.Command, t *tailing) {
	f := c.Flags()
	f.StringVar(&t.operation, "operation", "", "operation that decodes all messages: /pkg.Service/Method, or the end of it; without FILTER also whose topics to subscribe to")
	f.StringVar(&t.where, "where", "", "expression in CEL that selects messages")
	f.StringVar(&t.group, "group", "", "group of a shared subscription")
	f.BoolVar(&t.retained, "retained", false, "only retained messages; ends when none has arrived for a second")
	f.Uint8VarP(&t.qos, "qos", "q", 2, "highest QoS to receive with: 0, 1 or 2")
	f.IntVarP(&t.count, "count", "n", 0, "end after this many messages; 0 means no limit")
	f.DurationVar(&t.timeout, "timeout", 0, "end after this time, with an error if --count is not reached; 0 means no limit")
}

// silence is how long no retained message arrives after the last one.
const silence = time.Second

func (s *session) tail(c *cobra.Command, t *tailing, filters []string) error {
	if t.count < 0 || t.timeout < 0 {
		return usageError(c, "--count is %d and --timeout %v, want 0 or more", t.count, t.timeout)
	}
	place, err := s.context()
	if err != nil {
		return err
	}
	files, err := s.files(c.Context(), place)
	if err != nil {
		return err
	}
	v, err := s.newViewer(t, files)
	if err != nil {
		return err
	}
	if len(filters) == 0 && v.as != nil {
		filters = v.as.Filters
	}
	if len(filters) == 0 {
		return usageError(c, "want a FILTER, such as 'devices/#', or --operation")
	}
	s.warnUnrouted(v.methods, filters)
	if err := v.open(); err != nil {
		return err
	}
	in := newInbox(c.Context())
	disconnect, err := s.subscribe(c.Context(), in, t, filters)
	if err == nil {
		err = v.show(c.Context(), in)
		in.close()
		disconnect()
	}
	return errors.Join(err, v.close())
}

// viewer shows and records the messages that a tail selects.
type viewer struct {
	s         *session
	t         *tailing
	methods   eventproto.Methods
	as        *eventproto.Method // nil without --operation
	reader    *display.Reader
	condition *display.Condition // nil for all
	history   *display.History   // nil without --diff
	template  *display.Template  // nil without --format
	recorder  *recording.Writer  // nil without --record
	progress  *terminal.Progress // nil unless only recording
	out       *bufio.Writer
	line      []byte
	shown     int
	unknown   int   // messages for which the condition failed
	why       error // the last such failure
}

func (s *session) newViewer(t *tailing, files *protoregistry.Files) (*viewer, error) {
	v := &viewer{s: s, t: t, out: bufio.NewWriterSize(s.Out, 64<<10)}
	methods, err := eventproto.OpenMethods(files)
	if err != nil { // the other files still decode
		fmt.Fprintln(s.Err, "some descriptors are not used:", err)
	}
	v.methods = methods
	if t.operation != "" {
		if v.as, err = methods.Named(t.operation); err != nil {
			return nil, err
		}
	}
	v.reader = display.NewReader(files, methods, v.as)
	if t.diff {
		v.history = display.NewHistory()
	}
	if t.where != "" {
		if v.condition, err = display.NewCondition(t.where, files); err != nil {
			return nil, err
		}
	}
	if t.format != "" {
		v.template, err = display.NewTemplate(t.format)
	}
	return v, err
}

// open creates the file to record to.
func (v *viewer) open() (err error) {
	if v.t.record != "" {
		v.recorder, err = recording.Create(v.t.record)
	}
	if v.t.quiet && err == nil {
		v.progress = terminal.NewProgress(v.s.Err, "messages", int64(v.t.count))
	}
	return err
}

// show shows messages until the context, the time or the count ends.
func (v *viewer) show(ctx context.Context, in *inbox) error {
	end, quiet := timer(v.t.timeout), timer(0)
	defer end.Stop()
	if v.t.retained {
		quiet = timer(silence)
	}
	defer quiet.Stop()
	for {
		select {
		case a := <-in.arrivals:
			if v.t.retained && a.Published.Retain {
				quiet.Reset(silence)
			}
			if err := v.arrived(a); err != nil {
				return err
			}
			if v.t.count > 0 && v.shown == v.t.count {
				return nil
			}
			if len(in.arrivals) == 0 {
				if err := v.flush(); err != nil {
					return err
				}
			}
		case <-quiet.C:
			return v.ended("arrived")
		case <-end.C:
			return v.ended(fmt.Sprint("within ", v.t.timeout))
		case <-ctx.Done():
			return v.ended("before the interrupt")
		}
	}
}

// ended returns an error if the count is not reached.
func (v *viewer) ended(how string) error {
	if v.shown < v.t.count {
		return &ExitError{Code: 1, Err: fmt.Errorf("%d of %d messages %s", v.shown, v.t.count, how)}
	}
	return nil
}

// timer returns a timer that ends after d, or never if d is 0.
func timer(d time.Duration) *time.Timer {
	if d > 0 {
		return time.NewTimer(d)
	}
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// arrived shows a message if it is selected.
func (v *viewer) arrived(a display.Arrival) error {
	if v.t.retained && !a.Published.Retain {
		return nil
	}
	m := v.reader.Read(a)
	if v.condition != nil {
		holds, err := v.condition.Holds(m)
		if err != nil {
			v.unknown++
			v.why = err
		}
		if !holds {
			return nil
		}
	}
	v.shown++
	if v.recorder != nil {
		if err := v.recorder.Write(recording.Message{Time: a.Time, Message: a.Published}); err != nil {
			return err
		}
	}
	if v.t.quiet {
		v.progress.Add(1)
		return nil
	}
	if v.history != nil {
		v.history.Compare(m)
	}
	return v.write(m)
}

func (v *viewer) write(m *display.Message) (err error) {
	switch {
	case v.template != nil:
		return v.template.Write(v.out, m)
	case v.s.json:
		if v.line, err = m.AppendJSON(v.line[:0]); err != nil {
			return err
		}
	default:
		v.line = m.AppendText(v.line[:0])
	}
	_, err = v.out.Write(v.line)
	return err
}

func (v *viewer) flush() error {
	err := v.out.Flush()
	if v.recorder != nil {
		err = errors.Join(err, v.recorder.Flush())
	}
	return err
}

// close writes what is buffered, and what the user has to know about what was not shown.
func (v *viewer) close() error {
	if v.progress != nil {
		v.progress.End()
		fmt.Fprintf(v.s.Err, "%d messages recorded to %s\n", v.shown, v.t.record)
	}
	err := v.out.Flush()
	if v.recorder != nil {
		err = errors.Join(err, v.recorder.Close())
	}
	if v.unknown > 0 {
		fmt.Fprintf(v.s.Err, "--where could not be evaluated for %d messages, which were not selected: %s\n", v.unknown, printable(v.why.Error()))
	}
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// dropped tells about messages that came too fast.
func (s *session) dropped(n int64) {
	if n > 0 {
		fmt.Fprintf(s.Err, "%d messages of QoS 0 were dropped, because they came faster than they were shown\n", n)
	}
}

// unique returns filters without repetitions, which would show messages twice.
func unique(filters []string) []string {
	filters = slices.Clone(filters)
	slices.Sort(filters)
	return slices.Compact(filters)
}
