package mqtt

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithMessageIDs sets an id, a UUIDv7, on messages of a [Publisher] that have none: the user
// property "id" on MQTT 5. It allocates nothing, but costs 43 bytes on the wire and about 0.2 µs, a
// third of the rate of small messages. Default: false; messages of [NewBroker], of an outbox and
// with [WithCloudEvents] always have one.
func WithMessageIDs(enable bool) Option { return func(s *settings) { s.IDs = enable } }

// WithSentAt adds the time of the publish to messages that have headers: the user property
// "sent-at", in milliseconds since 1970 UTC, on MQTT 5. Subscribers measure the age of messages
// with it, see observe. Default: false.
func WithSentAt(enable bool) Option { return func(s *settings) { s.SentAt = enable } }

// WithRetry sets how a publish is retried that the broker refused temporarily (quota, a lost
// session). attempts is the maximum number of attempts; 0 means as many as the time of the call
// allows. Pauses grow from minBackoff to maxBackoff; 0 means 100 ms and 5 s. At QoS 0 and 2 a message
// is not sent again once it may have been sent. Default: 0 for all.
func WithRetry(attempts int, minBackoff, maxBackoff time.Duration) Option {
	return func(s *settings) {
		s.Retry = client.Retry{Attempts: attempts, MinBackoff: minBackoff, MaxBackoff: maxBackoff}
	}
}

// WithSequence numbers the messages of each topic, so that subscribers of this module detect and
// report missing messages. Default: false.
func WithSequence(enable bool) Option { return func(s *settings) { s.Sequence = enable } }
