package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithMessageIDs sets an id, a UUIDv7, on the messages of a [Publisher] that
// have none: the user property "id" on MQTT 5. It allocates nothing, but costs
// 43 bytes on the wire and about 0.2 µs, a third of the rate of small messages.
// Default: false; messages of [NewBroker], of an outbox and with
// [WithCloudEvents] always have one.
func WithMessageIDs(enable bool) broker.Option {
	return WithSettings(func(s *client.Settings) { s.IDs = enable })
}

// WithRetry sets how a publish is tried again that the broker refused
// for now (quota, a lost session): at most attempts, 0 for as many as the time
// of the call allows, with pauses from minBackoff, doubling with jitter, to
// maxBackoff; 0 is the default of either, 100 ms and 5 s. The message keeps its
// id. QoS 0 and 2 are not sent again once they may have been sent, and
// asynchronous publishes have one attempt. Numbers below 0 are an error of Init
// and Connect.
func WithRetry(attempts int, minBackoff, maxBackoff time.Duration) broker.Option {
	return WithSettings(func(s *client.Settings) {
		s.Retry = client.Retry{Attempts: attempts, MinBackoff: minBackoff, MaxBackoff: maxBackoff}
	})
}

// WithSequence numbers the messages of each topic, so that subscribers of this
// module notice, and report, what is missing. Each message carries its number
// and the name of the publisher that counts, which is another one after each
// connect: the user properties "sequence" and "sequencesource" on MQTT 5, the
// extension attributes of those names with [WithCloudEvents]; headers of these
// names are an error of the publish then. Bare messages on MQTT 3.1.1 have no
// place for either, which is logged once.
//
// Numbers are given in the order of sending. A message that was sent and whose
// publish failed all the same is missing, too, unless it arrived. Nobody notices
// that the last messages before a Disconnect are missing. Default: false.
func WithSequence(enable bool) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Sequence = enable })
}
