package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// publishing has the flags of publish.
type publishing struct {
	operation, topic, contentType, id, key string
	files                                  []string
	qos                                    uint8
	retain, lines                          bool
	expiry, timeout                        time.Duration
	headers                                map[string]string
	repeat                                 int
	rate                                   float64
}

func (s *session) publishCommand() *cobra.Command {
	p := new(publishing)
	c := &cobra.Command{
		Use: "publish [PAYLOAD]", GroupID: groupDevelop, Args: cobra.MaximumNArgs(1), Aliases: []string{"pub"},
		Short: "Publish a message: an event as JSON, or any payload to a topic",
		Long: `Publishes a message and waits until the broker has acknowledged it.

With --operation the payload is the JSON of its message, as protobuf defines it. Topic, codec,
QoS, retain, expiry, ordering key and id are those of the .proto file, as in a service, unless a
flag replaces them. A request also prints the reply.

Without it the payload is sent as it is to --topic, and many messages are in flight at a time.

The payload is the argument, or @ and the name of its file; or else it is read from the files of
--file, or from standard input. These may have several JSON values for an operation, or with
--lines a payload on each line without one: each is a message. Several messages show their
progress. The first one that fails ends the command.`,
		Example: `kratos-mqtt publish -d api --operation RecordTelemetry '{"device_id":"d1","temperature":71}'
kratos-mqtt publish -d api --operation RecordTelemetry --file telemetry.jsonl --rate 100
kratos-mqtt publish --topic lamps/1/set --retain on
kratos-mqtt publish --topic cameras/1/frame --content-type image/jpeg @frame.jpg`,
		RunE: func(c *cobra.Command, args []string) error { return s.publish(c, p, args) },
	}
	f := c.Flags()
	f.StringVar(&p.operation, "operation", "", "operation: /pkg.Service/Method, or the end of it")
	f.StringVarP(&p.topic, "topic", "t", "", "topic; needed without --operation")
	f.StringVar(&p.contentType, "content-type", "", "content type of the payload")
	f.StringArrayVarP(&p.files, "file", "f", nil, "file with payloads, may be given several times; - is standard input")
	f.BoolVar(&p.lines, "lines", false, "each line is a payload; only without --operation")
	f.StringVar(&p.id, "id", "", "id of the message")
	f.StringVar(&p.key, "key", "", "ordering key of the message")
	f.Uint8VarP(&p.qos, "qos", "q", 1, "QoS: 0, 1 or 2")
	f.BoolVarP(&p.retain, "retain", "r", false, "ask the broker to keep the message")
	f.DurationVar(&p.expiry, "expiry", 0, "time after which the broker discards the message")
	f.StringToStringVarP(&p.headers, "header", "H", nil, "header of the message, as NAME=VALUE")
	f.IntVarP(&p.repeat, "count", "n", 1, "how often to publish each message")
	f.Float64Var(&p.rate, "rate", 0, "messages a second; 0 means no limit")
	f.DurationVar(&p.timeout, "timeout", 10*time.Second, "how long to wait for each acknowledgement or reply")
	return c
}

func (s *session) publish(c *cobra.Command, p *publishing, args []string) error {
	switch {
	case p.operation == "" && p.topic == "":
		return usageError(c, "want --operation, or --topic for a payload without one")
	case p.operation != "" && p.lines:
		return usageError(c, "--lines is for payloads without --operation, whose JSON values need no lines")
	case p.repeat < 1 || p.rate < 0:
		return usageError(c, "--count is %d and --rate %v, want at least 1 and 0", p.repeat, p.rate)
	}
	all, err := s.payloads(p, args)
	if err != nil {
		return err
	}
	defer all.Close()
	if p.operation == "" {
		return s.publishBytes(c, p, all)
	}
	typed, err := s.typed(c, p)
	if err != nil {
		return err
	}
	b, disconnect, err := s.connect(c.Context())
	if err != nil {
		return err
	}
	defer disconnect()
	conn := mqttbroker.NewClientConn(b)
	out := s.begun(p)
	err = publishAll(c.Context(), p, all, func(ctx context.Context, payload []byte) error {
		if err := typed.send(ctx, conn, payload); err != nil {
			return fmt.Errorf("message %d: %w", out.Done()+1, err)
		}
		out.Add(1)
		return nil
	})
	s.ended(p, out)
	return err
}

// publishBytes publishes payloads as they are.
func (s *session) publishBytes(c *cobra.Command, p *publishing, all *payloads) error {
	publisher, disconnect, err := s.publisher(c.Context())
	if err != nil {
		return err
	}
	defer disconnect()
	opts := p.options(c)
	out := &sending{publisher: publisher, progress: s.begun(p)}
	err = publishAll(c.Context(), p, all, func(ctx context.Context, payload []byte) error { return out.send(ctx, p.topic, payload, opts...) })
	waiting, cancel := context.WithTimeout(c.Context(), p.timeout)
	defer cancel()
	if err = out.wait(waiting, err); err == nil && waiting.Err() != nil {
		err = fmt.Errorf("no acknowledgement within %v", p.timeout)
	}
	s.ended(p, out.progress)
	return err
}

// several reports whether there may be more than one message.
func (p *publishing) several() bool { return len(p.files) > 0 || p.repeat > 1 || p.lines }

// begun returns the progress of a publish. It is shown if there are several messages.
func (s *session) begun(p *publishing) *terminal.Progress {
	if p.several() {
		return terminal.NewProgress(s.Err, "messages", 0)
	}
	return terminal.NewProgress(io.Discard, "messages", 1)
}

func (s *session) ended(p *publishing, out *terminal.Progress) {
	out.End()
	if p.several() {
		fmt.Fprintf(s.Err, "%d messages published\n", out.Done())
	}
}

// publishAll publishes all payloads, each as often as asked for.
func publishAll(ctx context.Context, p *publishing, all *payloads, send func(context.Context, []byte) error) error {
	limit := limiter(p.rate)
	for n := 1; ; n++ {
		payload, err := all.Next()
		switch {
		case errors.Is(err, io.EOF) && n > 1:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("nothing to publish: want a payload, --file, or messages on standard input")
		case err != nil:
			return fmt.Errorf("message %d: %w", n, err)
		}
		for range p.repeat {
			if err := limit.Wait(ctx); err != nil {
				return err
			}
			each, cancel := context.WithTimeout(ctx, p.timeout)
			err := send(each, payload)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// typed publishes messages of an operation, which are JSON.
type typed struct {
	s       *session
	method  *eventproto.Method
	decoder decode.Decoder
	topic   string // "" for that of the message
	opts    []event.CallOption
}

func (s *session) typed(c *cobra.Command, p *publishing) (*typed, error) {
	m, decoder, err := s.method(c.Context(), p.operation)
	if err != nil {
		return nil, err
	}
	return &typed{s: s, method: m, decoder: decoder, topic: p.topic, opts: p.options(c)}, nil
}

// method returns the method of an operation, and a decoder for its messages.
func (s *session) method(ctx context.Context, operation string) (*eventproto.Method, decode.Decoder, error) {
	methods, decoder, err := s.methods(ctx)
	if err != nil {
		return nil, decode.Decoder{}, err
	}
	m, err := methods.Named(operation)
	return m, decoder, err
}

// methods returns the methods of all operations, and a decoder for their messages.
func (s *session) methods(ctx context.Context) (eventproto.Methods, decode.Decoder, error) {
	place, err := s.context()
	if err != nil {
		return nil, decode.Decoder{}, err
	}
	files, err := s.files(ctx, place)
	if err != nil {
		return nil, decode.Decoder{}, err
	}
	methods, err := eventproto.OpenMethods(files)
	return methods, decode.New(files), err
}

// send publishes one message, and writes the reply if it is a request.
func (t *typed) send(ctx context.Context, conn event.ClientConn, payload []byte) error {
	in, topic := dynamicpb.NewMessage(t.method.Desc.Input()), t.topic
	if err := t.decoder.Unmarshal(string(payload), in); err != nil {
		return err
	}
	if topic == "" {
		var err error
		if topic, err = t.method.TopicOf(in); err != nil {
			return err
		}
	}
	out, err := exchange(ctx, conn, t.method, topic, in, t.opts...)
	if err != nil || out == nil {
		return err
	}
	text, err := t.decoder.Marshal(out)
	if err == nil {
		_, err = fmt.Fprintln(t.s.Out, string(terminal.JSON([]byte(text))))
	}
	return err
}

// exchange publishes a message of an operation, and returns the reply if it is a request.
func exchange(ctx context.Context, conn event.ClientConn, m *eventproto.Method, topic string, in proto.Message, opts ...event.CallOption) (proto.Message, error) {
	if m.Event() {
		return nil, conn.Publish(ctx, m.Dynamic(), topic, in, opts...)
	}
	out := dynamicpb.NewMessage(m.Desc.Output())
	return out, conn.Request(ctx, m.Dynamic(), topic, in, out, opts...)
}

// options returns what the flags set.
func (p *publishing) options(c *cobra.Command) (opts []event.CallOption) {
	changed := c.Flags().Changed
	if changed("qos") {
		opts = append(opts, event.QoS(p.qos))
	}
	if changed("retain") {
		opts = append(opts, event.Retain(p.retain))
	}
	if p.expiry > 0 {
		opts = append(opts, event.Expiry(p.expiry))
	}
	if p.id != "" {
		opts = append(opts, event.ID(p.id))
	}
	if p.key != "" {
		opts = append(opts, event.OrderingKey(p.key))
	}
	if p.contentType != "" {
		opts = append(opts, event.ContentType(p.contentType))
	}
	for name, value := range p.headers {
		opts = append(opts, event.Header(name, value))
	}
	return opts
}
