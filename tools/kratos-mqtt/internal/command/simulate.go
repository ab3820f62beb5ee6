package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/simulate"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// simulating has the flags of simulate.
type simulating struct {
	devices  int
	rate     float64
	count    int64
	duration time.Duration
	seed     uint64
	print    bool
	ignore   bool
}

func (s *session) simulateCommand() *cobra.Command {
	m := new(simulating)
	c := &cobra.Command{
		Use: "simulate OPERATION", GroupID: groupDevelop, Args: cobra.ExactArgs(1),
		Short: "Publish random valid messages of an operation, as devices would",
		Long: `Publishes random valid messages of an operation until it is interrupted, from its descriptor alone.

Each device has an id of its own, in the first parameter of the topic, and sends in order. Names
of fields decide about values: a temperature is between 15 and 30 and changes slowly, a
timestamp is now, an id is a UUID. The same --seed makes the same messages, except for times.

Messages keep the rules of protovalidate (buf.validate) that their fields have. If no message is
found that does, the error names the rules that were broken; give the fields examples then.
For a request the reply is awaited and not shown.`,
		Example: `kratos-mqtt simulate RecordTelemetry -d api --devices 100 --rate 50
kratos-mqtt simulate RecordTelemetry -d api --count 3 --seed 1 --print`,
		RunE: func(c *cobra.Command, args []string) error { return s.simulate(c, m, args[0]) },
	}
	f := c.Flags()
	f.IntVar(&m.devices, "devices", 10, "number of devices")
	f.Float64Var(&m.rate, "rate", 10, "messages a second of all devices; 0 means no limit")
	f.Int64VarP(&m.count, "count", "n", 0, "end after this many messages; 0 means no limit")
	f.DurationVar(&m.duration, "duration", 0, "end after this time; 0 means no limit")
	f.Uint64Var(&m.seed, "seed", 0, "seed of the random values; 0 means another one each time")
	f.BoolVar(&m.ignore, "ignore-rules", false, "also messages that break the rules of protovalidate")
	f.BoolVar(&m.print, "print", false, "write the messages as JSON, for publish, and connect to no broker")
	return c
}

// maxSenders bounds how many devices publish at a time.
const maxSenders = 32

func (s *session) simulate(c *cobra.Command, m *simulating, operation string) error {
	switch {
	case m.rate < 0 || m.count < 0 || m.duration < 0:
		return usageError(c, "--rate is %v, --count %d and --duration %v, want 0 or more", m.rate, m.count, m.duration)
	case m.print && m.count == 0:
		return usageError(c, "--print wants --count")
	}
	method, decoder, err := s.method(c.Context(), operation)
	if err != nil {
		return err
	}
	if m.seed == 0 {
		m.seed = rand.Uint64()
	}
	fleet, err := simulate.New(method, simulate.Options{Devices: m.devices, Seed: m.seed, IgnoreRules: m.ignore})
	if err != nil {
		return err
	}
	if m.print {
		return s.printFleet(m, fleet, decoder)
	}
	b, disconnect, err := s.connect(c.Context())
	if err != nil {
		return err
	}
	defer disconnect()
	progress := terminal.NewProgress(s.Err, "messages", m.count)
	err = m.run(c.Context(), fleet, method, mqttbroker.NewClientConn(b), progress)
	progress.End()
	fmt.Fprintf(s.Err, "%d messages of %d devices published, seed %d\n", progress.Done(), m.devices, m.seed)
	return err
}

func (s *session) printFleet(m *simulating, fleet *simulate.Fleet, decoder decode.Decoder) error {
	for i := range m.count {
		in, _, err := fleet.Message(int(i%int64(m.devices)), time.Now())
		if err != nil {
			return err
		}
		text, err := decoder.Marshal(in)
		if err != nil {
			return err
		}
		if err := s.writeJSON(json.RawMessage(text)); err != nil { // without protojson's spaces, which vary
			return err
		}
	}
	return nil
}

// run publishes until the count, the time or the context ends, or a publish fails. A device
// belongs to one sender, so that its messages keep their order.
func (m *simulating) run(ctx context.Context, fleet *simulate.Fleet, method *eventproto.Method, conn event.ClientConn, progress *terminal.Progress) error {
	if m.duration > 0 {
		var expire context.CancelFunc
		ctx, expire = context.WithTimeout(ctx, m.duration)
		defer expire()
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	whole, release := toTheEnd(ctx)
	defer release()
	limit := limiter(m.rate)
	var taken atomic.Int64
	send := func(device int) error {
		if limit.Wait(running) != nil || m.count > 0 && taken.Add(1) > m.count {
			return errOver
		}
		in, topic, err := fleet.Message(device, time.Now())
		if err != nil {
			return err
		}
		// What has begun ends, so that the count is exact.
		if _, err = exchange(whole, conn, method, topic, in); err == nil {
			progress.Add(1)
		}
		return err
	}
	senders := min(m.devices, maxSenders)
	failures := make([]error, senders)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			for failures[i] == nil {
				for device := i; device < m.devices && failures[i] == nil; device += senders {
					failures[i] = send(device)
				}
			}
			stop()
		})
	}
	group.Wait()
	for _, err := range failures {
		if !errors.Is(err, errOver) {
			return err
		}
	}
	return nil
}

// errOver ends a sender without a failure.
var errOver = errors.New("over")
