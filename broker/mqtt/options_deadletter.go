package mqtt

import (
	"context"
	"fmt"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// WithDeadLetters keeps messages that cannot be handled in this store: nothing of them is
// acknowledged before their letter is durable there. A store that parks
// (package deadletter) also keeps those whose attempts are used up, while they
// are handled again in order; that takes a client id, and Start reads them back
// before it subscribes, so that a store that fails is an error of Start. The
// store is not closed by us. Default, and nil: each dead letter is a retained
// message "dead-letter/<service>/<part>/<id>" at the broker, after a test that the
// broker keeps those.
func WithDeadLetters(store deadletter.Store) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.DeadLetters = store })
}

// WithRetainedDeadLetters chooses retained messages at the broker for dead letters: what is
// otherwise the last resort is tested when the connection is there, not when
// the first letter has to be kept. While the test fails the health says so.
// With a store it is an error.
func WithRetainedDeadLetters() broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.Retained = true })
}

// WithMaxRetainedDeadLetters bounds the dead letters that are kept as retained
// messages: beyond it nothing is acknowledged that needs one. They are counted
// before the first letter of a process; what others write meanwhile is not
// seen, and where a count is incomplete ([deadletter.ErrIncomplete]) the bound is
// exceeded by what it lacks. Default: 100,000.
func WithMaxRetainedDeadLetters(n int) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.MaxLetters = n })
}

// WithDeadLetterTopic publishes dead letters to this topic, too, once their store has
// them: with user properties on MQTT 5, as a CloudEvent on 3.1.1, see
// deadletter.Decode. A publish that fails is tried again for 5 s, logged and
// counted, and holds nothing up. Default: none.
func WithDeadLetterTopic(topic string) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.DeadLetterTopic = topic })
}

// WithParkLimit is how long a parked message is handled again before it becomes a
// dead letter. Default: 24 h.
func WithParkLimit(d time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.ParkLimit = d })
}

// DeadLetterStore is the store that a broker of [NewBroker] uses, to list, show
// and drop letters; the retained messages, which are the default, can be read
// while connected only.
func DeadLetterStore(b broker.Broker) (deadletter.Store, error) {
	own, err := ours(b)
	if err != nil {
		return nil, err
	}
	return own.DeadLetters()
}

// Replay publishes the dead letters of these ids again, without ids all of
// them, to their original topics, and deletes each once the broker has it. It
// returns how many; a letter that cannot be replayed stays, is named in the error
// and does not stop the others, see [deadletter.Replay].
func Replay(ctx context.Context, b broker.Broker, ids ...string) (int, error) {
	own, err := ours(b)
	if err != nil {
		return 0, err
	}
	return own.Replay(ctx, ids...)
}

func ours(b broker.Broker) (*bridge.Broker, error) {
	if own, ok := b.(*bridge.Broker); ok {
		return own, nil
	}
	return nil, &event.Error{Op: "dead letters", Reason: event.ReasonBadRequest, Cause: fmt.Errorf("a %T was not made by NewBroker", b)}
}
