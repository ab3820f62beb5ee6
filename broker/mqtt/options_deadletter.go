package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithDeadLetters sets the store of dead letters: messages that cannot be handled. A
// message is acknowledged only after its dead letter is durable in the store. A store
// that supports parking (package deadletter) also keeps messages whose attempts are
// used up while they are retried in order. Parking requires a client id, and Start
// reads parked messages before it subscribes, so a failing store is an error of Start.
// The store is not closed by the broker. Default, and for nil: each dead letter is a
// retained message "dead-letter/<service>/<part>/<id>" at the broker, after a test that
// the broker keeps retained messages.
func WithDeadLetters(store deadletter.Store) broker.Option {
	return with(func(s *client.Settings) { s.Config.DeadLetters = store })
}

// WithRetainedDeadLetters explicitly selects retained messages at the broker for dead
// letters. The test whether the broker keeps them then runs once connected, not before
// the first dead letter. While the test fails, Health reports it. Together with a store
// it is an error.
func WithRetainedDeadLetters() broker.Option {
	return with(func(s *client.Settings) { s.Config.Retained = true })
}

// WithMaxRetainedDeadLetters limits the number of dead letters that are kept as
// retained messages. At the limit, messages that need a dead letter are not
// acknowledged. Existing dead letters are counted before the first one of a process is
// written. Those that other processes write later are not counted, and if a count is
// incomplete ([deadletter.ErrIncomplete]), the limit may be exceeded by the missing
// number. Default: 100,000.
func WithMaxRetainedDeadLetters(n int) broker.Option {
	return with(func(s *client.Settings) { s.Config.MaxLetters = n })
}

// WithMaxRetainedDeadLetterBytes limits the size, in bytes, of all dead letters that are
// kept as retained messages. What happens at the limit, and what is counted, is as with
// [WithMaxRetainedDeadLetters]. Default: 256 MiB.
func WithMaxRetainedDeadLetterBytes(n int64) broker.Option {
	return with(func(s *client.Settings) { s.Config.MaxLetterBytes = n })
}

// WithRetainedDeadLetterShare limits the retained dead letters of one origin to 1/n of
// [WithMaxRetainedDeadLetters] and [WithMaxRetainedDeadLetterBytes] once one of these is
// half used up, see [deadletter.Bounds]. A store in a file or a database has an option of
// its own for it. Default: 8; 1 means no limit per origin.
func WithRetainedDeadLetterShare(n int) broker.Option {
	return with(func(s *client.Settings) { s.Config.LetterShare = n })
}

// WithBlockOverShare leaves a message unacknowledged and retries it if its dead letter
// would exceed its origin's share of the dead-letter store. Later messages of the same
// session are not acknowledged either, even those of other senders, so one sender can
// stop all. Default: the dead letter is stored without the payload; if even that has no
// room, it is dropped, logged and counted in Health's LettersOverShare.
func WithBlockOverShare() broker.Option {
	return with(func(s *client.Settings) { s.BlockOverShare() })
}

// WithDeadLetterSigningKeys signs retained dead letters with HMAC-SHA256. The first key signs
// and all keys verify, so a new key can be put in front while dead letters signed with
// the old one remain. Without keys, a client that may write below
// dead-letter/<service>/ can forge dead letters. With keys, a dead letter with no valid
// signature is listed as suspect, and replayed only by a call that confirms it. Each
// key has at least 32 bytes. Default: none.
func WithDeadLetterSigningKeys(keys ...[]byte) broker.Option {
	return with(func(s *client.Settings) { s.Config.SigningKeys = keys })
}

// WithDeadLettersConfig sets limits, share, keys and park limit from a service's
// configuration; its store is opened by package event/stores. Unset fields keep the
// values of earlier options.
func WithDeadLettersConfig(c *v1.DeadLetters) broker.Option {
	return with(func(s *client.Settings) { s.DeadLetters(c) })
}

// WithDeadLetterTopic publishes dead letters to this topic, too, once they are stored:
// with user properties on MQTT 5, as a CloudEvent on 3.1.1, see deadletter.Decode. A
// publish that fails is retried for 5 s, then logged and counted; it delays nothing
// else. Default: none.
func WithDeadLetterTopic(topic string) broker.Option {
	return with(func(s *client.Settings) { s.Config.DeadLetterTopic = topic })
}

// WithParkLimit sets how long a parked message is retried before it becomes a dead
// letter. Default: 24 h.
func WithParkLimit(d time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.ParkLimit = d })
}
