package mqtt

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// SubscribeOption is an option of one subscription.
type SubscribeOption func(*subscription)

type subscription = option.Subscription

// WithSubscribeQueueName makes a shared subscription ($share/<name>/<filter>): one member of
// the group gets each message. Default: "", none.
func WithSubscribeQueueName(name string) SubscribeOption {
	return func(s *subscription) { s.Group = name }
}

// WithSubscribeConcurrency bounds how many messages of the subscription are handled at once.
// Default: 0, the bound of all subscriptions.
func WithSubscribeConcurrency(n int) SubscribeOption {
	return func(s *subscription) { s.Concurrency = n }
}

// WithSubscribeRetry sets how often a failed handler is called again within the budget, and the
// first of growing pauses. 0 retries mean a single attempt; a negative number is an error of
// the subscribe. Default: as often as the budget allows, and 100 ms.
func WithSubscribeRetry(maxRetries int, delay time.Duration) SubscribeOption {
	return func(s *subscription) {
		s.SetRetries(maxRetries)
		s.Backoff = delay
	}
}

// WithSubscribeContext adds the values of ctx to the contexts of the handler. The end of ctx
// has no effect. Default: none.
func WithSubscribeContext(ctx context.Context) SubscribeOption {
	return func(s *subscription) { s.SetValues(ctx) }
}

// DisableAutoAck leaves the acknowledgement to [Received.Ack], at any time after the handler
// returned nil; until then later messages are not acknowledged either.
func DisableAutoAck() SubscribeOption { return func(s *subscription) { s.ManualAck = true } }

// WithSubscribeQos sets the highest QoS of one subscription: 0, 1 or 2; others are an error of the
// subscribe. Default: 1.
func WithSubscribeQos(qos byte) SubscribeOption { return func(s *subscription) { s.QoS = qos } }

// WithSubscribeCodec names the codec of one subscription; one that is not registered is an error of
// the subscribe. Default: the broker's.
func WithSubscribeCodec(name string) SubscribeOption {
	return func(s *subscription) { s.CodecName = name }
}

// WithSubscribeDeadLetters declares that the subscription receives dead letters, whatever the
// topic, so that the user properties "dead-letter-*" are interpreted.
func WithSubscribeDeadLetters() SubscribeOption { return func(s *subscription) { s.Letters = true } }

// WithSubscribeTimeout bounds one attempt of the handler: its context ends then. While a handler
// keeps running after that, its message is not retried and no other message of its topic is
// handled. Default: 30 s.
func WithSubscribeTimeout(d time.Duration) SubscribeOption {
	return func(s *subscription) { s.Timeout = d }
}

// WithSubscribeBroad allows filters that match more than is usually intended: "#", "+/#" and
// "$SYS/...". Without it they are an error.
func WithSubscribeBroad() SubscribeOption { return func(s *subscription) { s.Broad = true } }

// WithSubscribeRetainHandling sets when the broker sends retained messages: 0 at each SUBSCRIBE, 1
// only when the subscription is new, 2 never; others are an error of the subscribe. Default: 0.
func WithSubscribeRetainHandling(when byte) SubscribeOption {
	return func(s *subscription) { s.RetainHandling = when }
}

// WithSubscribeNoLocal asks the broker not to send messages that were published under the
// subscriber's own client id [MQTT-3.8.3-3]. Publishing uses a separate client id, so messages of
// this process still arrive. Default: false.
func WithSubscribeNoLocal() SubscribeOption { return func(s *subscription) { s.NoLocal = true } }

// WithSubscribeOrderingKey sets the function that returns the ordering key of a message. Messages
// with the same key are handled one at a time in the order of arrival, others in parallel; "" means
// no order. Default: the topic.
func WithSubscribeOrderingKey(key func(m event.Incoming) string) SubscribeOption {
	return func(s *subscription) { s.OrderingKey = option.OrderOf(key) }
}

// WithSubscribeOwnSession puts the subscription into a separate session: a connection with the
// client id <client id>-<name>, kept by the broker like the main one, with its own in-flight
// window, queue and as many workers. Subscriptions with the same name share it; "" derives the
// name from the method or the filter. Default: the main session.
func WithSubscribeOwnSession(name string) SubscribeOption {
	return func(s *subscription) { s.Message.OwnSession, s.Message.SessionName = true, name }
}

// WithSubscribeTrustSender trusts the publishers on the topics of the subscription with the context
// of the handler: the publish is the parent of the handler's span instead of a link, so that its
// sampling decision applies, and its baggage is in the context. Default: false.
func WithSubscribeTrustSender() SubscribeOption {
	return func(s *subscription) { s.Message.TrustSender = true }
}

// WithSubscribeIgnoreRetained acknowledges retained messages without calling a handler, and counts
// them (RetainedIgnored in Health). Use it for messages that are only valid when sent, such as
// heartbeats. Default: false.
func WithSubscribeIgnoreRetained() SubscribeOption {
	return func(s *subscription) { s.IgnoreRetained = true }
}
