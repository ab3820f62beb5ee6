package mqtt

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// DeadLetters keeps messages that cannot be handled in this store: nothing of them is
// acknowledged before their letter is durable there. A store that parks
// (package deadletter) also keeps those whose attempts are used up, while they
// are handled again in order; that takes a client id, and Start reads them back
// before it subscribes, so that a store that fails is an error of Start. The
// store is not closed by us. Default, and nil: each dead letter is a retained
// message "dead-letter/<service>/<part>/<id>" at the broker, after a test that the
// broker keeps those.
func DeadLetters(store deadletter.Store) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.DeadLetters = store })
}

// RetainedDeadLetters chooses retained messages at the broker for dead letters: what is
// otherwise the last resort is tested when the connection is there, not when
// the first letter has to be kept. While the test fails the health says so.
// With a store it is an error.
func RetainedDeadLetters() ServerOption {
	return set(func(s *bridge.Settings) { s.Config.Retained = true })
}

// MaxRetainedDeadLetters bounds the dead letters that are kept as retained
// messages: beyond it nothing is acknowledged that needs one. They are counted
// before the first letter of a process; what others write meanwhile is not
// seen, and where a count is incomplete ([deadletter.ErrIncomplete]) the bound is
// exceeded by what it lacks. Default: 100,000.
func MaxRetainedDeadLetters(n int) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.MaxLetters = n })
}

// DeadLetterTopic publishes dead letters to this topic, too, once their store has
// them: with user properties on MQTT 5, as a CloudEvent on 3.1.1, see
// deadletter.Decode. A publish that fails is tried again for 5 s, logged and
// counted, and holds nothing up. Default: none.
func DeadLetterTopic(topic string) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.DeadLetterTopic = topic })
}

// ParkLimit is how long a parked message is handled again before it becomes a
// dead letter. Default: 24 h.
func ParkLimit(d time.Duration) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.ParkLimit = d })
}

// DeadLetters is the store in use, to list, show and drop letters; the retained
// messages, which are the default, can be read between Start and Stop only.
func (s *Server) DeadLetters() (deadletter.Store, error) { return s.broker.DeadLetters() }

// Replay publishes the dead letters of these ids again, without ids all of
// them, to their original topics, and deletes each once the broker has it. It
// returns how many; a letter that cannot be replayed stays, is named in the error
// and does not stop the others, see [deadletter.Replay].
func (s *Server) Replay(ctx context.Context, ids ...string) (int, error) {
	return s.broker.Replay(ctx, ids...)
}
