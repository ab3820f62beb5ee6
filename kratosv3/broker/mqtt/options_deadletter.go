package mqtt

import (
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// WithDeadLetters sets the store of dead letters: messages that cannot be handled. A message is
// acknowledged only after its dead letter is durable in the store. Default, and for nil: each dead
// letter is a retained message "dead-letter/<service>/<part>/<id>" at the broker, after a test that
// the broker keeps retained messages.
func WithDeadLetters(store deadletter.Store) Option {
	return func(s *settings) { s.Config.DeadLetters = store }
}

// WithRetainedDeadLetters explicitly selects retained messages at the broker for dead letters. The
// test whether the broker keeps them then runs once connected, not before the first dead letter.
func WithRetainedDeadLetters() Option { return func(s *settings) { s.Config.Retained = true } }

// WithMaxRetainedDeadLetters limits the number of dead letters that are kept as retained messages.
// At the limit, messages that need a dead letter are not acknowledged. Default: 100,000.
func WithMaxRetainedDeadLetters(n int) Option { return func(s *settings) { s.Config.MaxLetters = n } }

// WithMaxRetainedDeadLetterBytes limits the size, in bytes, of all dead letters that are kept as
// retained messages. What happens at the limit, and what is counted, is as with
// [WithMaxRetainedDeadLetters]. Default: 256 MiB.
func WithMaxRetainedDeadLetterBytes(n int64) Option {
	return func(s *settings) { s.Config.MaxLetterBytes = n }
}

// WithRetainedDeadLetterShare limits the retained dead letters of one origin to 1/n of
// [WithMaxRetainedDeadLetters] and [WithMaxRetainedDeadLetterBytes] once one of these is half used
// up, see [deadletter.Bounds]. Default: 8; 1 means no limit per origin.
func WithRetainedDeadLetterShare(n int) Option { return func(s *settings) { s.Config.LetterShare = n } }

// WithBlockOverShare leaves a message unacknowledged and retries it if its dead letter would exceed
// its origin's share of the dead-letter store. Later messages of the same session are not
// acknowledged either, even those of other senders, so one sender can stop all. Default: the dead
// letter is stored without the payload; if even that has no room, it is dropped, logged and counted
// in Health's LettersOverShare.
func WithBlockOverShare() Option { return func(s *settings) { s.BlockOverShare() } }

// WithDeadLetterSigningKeys signs retained dead letters with HMAC-SHA256. The first key signs and
// all keys verify, so a new key can be put in front while dead letters signed with the old one
// remain. Default: none.
func WithDeadLetterSigningKeys(keys ...[]byte) Option {
	return func(s *settings) { s.Config.SigningKeys = keys }
}

// WithDeadLettersConfig sets limits, share, keys and park limit from a service's configuration; its
// store is opened by package event/stores. Unset fields keep the values of earlier options.
func WithDeadLettersConfig(c *v1.DeadLetters) Option { return func(s *settings) { s.DeadLetters(c) } }

// WithDeadLetterTopic publishes dead letters to this topic, too, once they are stored: with user
// properties on MQTT 5, as a CloudEvent on 3.1.1, see deadletter.Decode. Default: none.
func WithDeadLetterTopic(topic string) Option {
	return func(s *settings) { s.Config.DeadLetterTopic = topic }
}

// WithParkLimit sets how long a parked message is retried before it becomes a dead letter. Default:
// 24 h.
func WithParkLimit(d time.Duration) Option { return func(s *settings) { s.Config.ParkLimit = d } }
