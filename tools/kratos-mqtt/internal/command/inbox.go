package command

import (
	"context"
	"fmt"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/display"
)

// inbox has the messages that arrived and are not shown yet. It is also the store of dead
// letters: a message that cannot be read is shown with the reason, and leaves nothing at the
// broker.
type inbox struct {
	arrivals chan display.Arrival
	ctx      context.Context // of the subscription
	end      context.CancelFunc
}

// room is how many messages wait to be shown; those behind them wait in the queue of the client,
// which is bounded in bytes.
const room = 1024

func newInbox(ctx context.Context) *inbox {
	in := &inbox{arrivals: make(chan display.Arrival, room)}
	in.ctx, in.end = context.WithCancel(ctx)
	return in
}

// close lets handlers that wait for room return.
func (in *inbox) close() { in.end() }

func (in *inbox) put(ctx context.Context, a display.Arrival) error {
	select {
	case in.arrivals <- a:
		return nil
	case <-in.ctx.Done():
		return nil // nothing is shown any more
	case <-ctx.Done():
		return ctx.Err() // tried again
	}
}

// handle puts a message into the inbox. The bytes stay as they are, but may keep up to 4 KiB of
// others, which is small beside the room of the inbox.
func (in *inbox) handle(ctx context.Context, e broker.Event) error {
	m, ok := e.(mqttbroker.Received)
	if !ok {
		return nil // no middleware is used
	}
	return in.put(ctx, display.Arrival{
		Time: time.Now(), Published: m.Published(), Duplicate: m.Duplicate(), ID: m.ID(),
		ContentType: m.ContentType(), Headers: m.AllHeaders(), Data: m.Data(),
	})
}

var _ deadletter.Store = (*inbox)(nil)

// Put shows a message that cannot be read.
func (in *inbox) Put(ctx context.Context, l *deadletter.Letter) error {
	return in.put(ctx, display.Arrival{
		Time: l.Received, Published: l.Message, ID: l.EventID, ContentType: l.ContentType, Headers: l.Headers,
		Data: l.Payload, Problem: l.Reason,
	})
}

// Get has no letters.
func (in *inbox) Get(context.Context, string) (*deadletter.Letter, error) {
	return nil, deadletter.ErrNotFound
}

// List has no letters.
func (in *inbox) List(context.Context, deadletter.Query) ([]*deadletter.Letter, error) {
	return nil, nil
}

// Delete has no letters.
func (in *inbox) Delete(context.Context, ...string) error { return nil }

// Stats has no letters.
func (in *inbox) Stats(context.Context) (deadletter.Stats, error) { return deadletter.Stats{}, nil }

// Parks is false.
func (in *inbox) Parks() bool { return false }

// subscribe subscribes to filters for an inbox, and returns the function that ends it.
func (s *session) subscribe(ctx context.Context, in *inbox, t *tailing, filters []string) (func(), error) {
	lost := false
	b, disconnect, err := s.connect(ctx,
		mqttbroker.WithDeadLetters(in), mqttbroker.WithCloudEvents("kratos-mqtt"), mqttbroker.WithUnmatched(0, event.UnmatchedDrop),
		mqttbroker.WithOnDisconnect(func(err error) { // on the goroutine of the next
			lost = true
			fmt.Fprintf(s.Err, "%s; messages may be missing until the connection is back\n", printable(err.Error()))
		}),
		mqttbroker.WithOnConnect(func() {
			if lost {
				fmt.Fprintln(s.Err, "connected again")
			}
			lost = false
		}),
	)
	if err != nil {
		return nil, err
	}
	opts := []broker.SubscribeOption{
		mqttbroker.WithSubscribeQos(t.qos), mqttbroker.WithSubscribeBroad(), mqttbroker.WithSubscribeDeadLetters(),
		// All messages in the order of their arrival.
		mqttbroker.WithSubscribeOrderingKey(func(event.Incoming) string { return "tail" }),
	}
	if t.group != "" {
		opts = append(opts, broker.WithSubscribeQueueName(t.group))
	}
	for _, filter := range unique(filters) {
		if _, err := b.Subscribe(filter, in.handle, nil, opts...); err != nil {
			in.close()
			disconnect()
			return nil, err
		}
	}
	return func() {
		s.dropped(b.Health().QueueFull)
		disconnect()
	}, nil
}
