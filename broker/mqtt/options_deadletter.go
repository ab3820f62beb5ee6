package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
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
	return WithSettings(func(s *client.Settings) { s.Config.DeadLetters = store })
}

// WithRetainedDeadLetters chooses retained messages at the broker for dead letters: what is
// otherwise the last resort is tested when the connection is there, not when
// the first letter has to be kept. While the test fails the health says so.
// With a store it is an error.
func WithRetainedDeadLetters() broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.Retained = true })
}

// WithMaxRetainedDeadLetters bounds the dead letters that are kept as retained
// messages: beyond it nothing is acknowledged that needs one. They are counted
// before the first letter of a process; what others write meanwhile is not
// seen, and where a count is incomplete ([deadletter.ErrIncomplete]) the bound is
// exceeded by what it lacks. Default: 100,000.
func WithMaxRetainedDeadLetters(n int) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.MaxLetters = n })
}

// WithMaxRetainedDeadLetterBytes bounds the bytes of dead letters that are kept as
// retained messages, in the same way. Default: 256 MiB.
func WithMaxRetainedDeadLetterBytes(n int64) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.MaxLetterBytes = n })
}

// WithRetainedDeadLetterShare is how much of these bounds the letters of one origin may
// have once they are half used up: one part of n, see [deadletter.Bounds]. Stores
// of other packages have an option for it. Default: 8; 1 is no bound.
func WithRetainedDeadLetterShare(n int) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.LetterShare = n })
}

// WithBlockOverShare leaves a message unacknowledged and retries it if its dead letter
// would exceed its origin's share of the dead-letter store. Later messages of the same
// session are not acknowledged either, even those of other senders, so one sender can
// stop all. Default: the dead letter is stored without the payload; if even that has no
// room, it is dropped, logged and counted in Health's LettersOverShare.
func WithBlockOverShare() broker.Option {
	return WithSettings(func(s *client.Settings) { s.BlockOverShare() })
}

// WithDeadLetterKeys signs retained dead letters with HMAC-SHA256. The first key signs
// and all keys verify, so a new key can be put in front while dead letters signed with
// the old one remain. Without keys, a client that may write below
// dead-letter/<service>/ can forge dead letters. With keys, a dead letter with no valid
// signature is listed as suspect, and replayed only by a call that confirms it. Each
// key has at least 32 bytes. Default: none.
func WithDeadLetterKeys(keys ...[]byte) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.LetterKeys = keys })
}

// WithDeadLettersConfig takes bounds, share, keys and park limit from a service's
// configuration; its store is opened by package event/stores. What is unset there
// keeps what options before it said.
func WithDeadLettersConfig(c *v1.DeadLetters) broker.Option {
	return WithSettings(func(s *client.Settings) { s.DeadLetters(c) })
}

// WithDeadLetterTopic publishes dead letters to this topic, too, once their store has
// them: with user properties on MQTT 5, as a CloudEvent on 3.1.1, see
// deadletter.Decode. A publish that fails is tried again for 5 s, logged and
// counted, and holds nothing up. Default: none.
func WithDeadLetterTopic(topic string) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.DeadLetterTopic = topic })
}

// WithParkLimit is how long a parked message is handled again before it becomes a
// dead letter. Default: 24 h.
func WithParkLimit(d time.Duration) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.ParkLimit = d })
}
