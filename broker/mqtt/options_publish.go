package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithMessageIDs sets an id, a UUIDv7, on messages of a [Publisher] that have none: the
// user property "id" on MQTT 5. It allocates nothing, but costs 43 bytes on the wire
// and about 0.2 µs, a third of the rate of small messages. Default: false; messages of
// [NewBroker], of an outbox and with [WithCloudEvents] always have one.
func WithMessageIDs(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.IDs = enable })
}

// WithSentAt adds the time of the publish to messages that have headers: the user property
// "sent-at", in milliseconds since 1970 UTC, on MQTT 5. Subscribers measure the age of
// messages with it, see observe. It costs 25 bytes on the wire. A message keeps the time
// while it waits in an outbox. It has no effect on messages of [Publisher], nor with
// [WithCloudEvents], whose attribute "time" says the same. Default: false.
func WithSentAt(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.SentAt = enable })
}

// WithRetry sets how a publish is retried that the broker refused temporarily (quota, a
// lost session). attempts is the maximum number of attempts; 0 means as many as the
// time of the call allows. Pauses grow from minBackoff to maxBackoff, doubling with
// jitter; 0 means the defaults, 100 ms and 5 s. The message keeps its id. At QoS 0 and
// 2 a message is not sent again once it may have been sent, and asynchronous publishes
// have one attempt. Negative numbers are an error of Init and Connect.
func WithRetry(attempts int, minBackoff, maxBackoff time.Duration) broker.Option {
	return with(func(s *client.Settings) {
		s.Retry = client.Retry{Attempts: attempts, MinBackoff: minBackoff, MaxBackoff: maxBackoff}
	})
}

// WithSequence numbers the messages of each topic, so that subscribers of this module
// detect and report missing messages. Each message carries its number and the name of
// its publisher, which changes with each connect: the user properties "sequence" and
// "sequencesource" on MQTT 5, the extension attributes of those names with
// [WithCloudEvents]. Headers of these names are then an error of the publish. Bare
// messages on MQTT 3.1.1 cannot carry either, which is logged once.
//
// Numbers are assigned in the order of sending. A message that was sent, but whose
// publish failed, counts as missing unless it arrives. Missing messages at the end,
// before a Disconnect, are not detected. Default: false.
func WithSequence(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Sequence = enable })
}
