package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// WithSubscribeQos sets the highest QoS of one subscription: 0, 1 or 2; others
// are an error of the subscribe. Default: 1.
func WithSubscribeQos(qos byte) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.QoS = qos })
}

// WithSubscribeCodec names the codec of one subscription; one that is not
// registered is an error of the subscribe. Default: the broker's.
func WithSubscribeCodec(name string) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.CodecName = name })
}

// WithSubscribeDeadLetters declares that the subscription receives dead letters,
// whatever the topic, so that the user properties "dead-letter-*" are interpreted. The
// handler gets a dead letter as its message came, not unwrapped as an event. The option
// is not needed below "dead-letter/" and on the dead-letter topic of the same server or
// broker. On other topics these properties are ordinary headers without it, because any
// publisher may set them.
func WithSubscribeDeadLetters() broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Letters = true })
}

// WithSubscribeTimeout bounds one attempt of the handler: its context ends then. While
// a handler keeps running after that, its message is not retried and no other message
// of its topic is handled. Default: 30 s.
func WithSubscribeTimeout(d time.Duration) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Timeout = d })
}

// WithSubscribeBroad allows filters that match more than is usually intended: "#",
// "+/#" and "$SYS/...". Without it they are an error.
func WithSubscribeBroad() broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Broad = true })
}

// WithSubscribeRetainHandling sets when the broker sends retained messages: 0 at each
// SUBSCRIBE, 1 only when the subscription is new, 2 never; others are an error of the
// subscribe. With several subscriptions on one filter the lowest value applies. A later
// registration with 0 makes the broker send them again to all of these. MQTT 5 only:
// 3.1.1 sends them each time, which is logged once. Default: 0.
func WithSubscribeRetainHandling(when byte) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.RetainHandling = when })
}

// WithSubscribeNoLocal asks the broker not to send messages that were published under
// the subscriber's own client id [MQTT-3.8.3-3]. Publishing uses a separate client id,
// so messages of this process still arrive. With a queue name it is an error of the
// subscribe [MQTT-3.8.3-4]. MQTT 5 only; on 3.1.1 it has no effect, which is logged
// once. Default: false.
func WithSubscribeNoLocal() broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.NoLocal = true })
}

// WithSubscribeOrderingKey sets the function that returns the ordering key of a
// message. Messages with the same key are handled one at a time in the order of
// arrival, others in parallel; "" means no order. Acknowledgements keep their order in
// any case. The connection's read loop waits for key: it must be fast and must not block.
// After a panic in it, which is logged, the topic is the key. A key from the payload or
// a header orders all topics of the filter: unless all senders are trusted, put the
// topic in front of it, or one failing message can delay the keys of others. Default:
// the topic.
func WithSubscribeOrderingKey(key func(m event.Incoming) string) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.OrderingKey = option.OrderOf(key) })
}

// WithSubscribeOwnSession puts the subscription into a separate session: a connection
// with the client id <client id>-<name>, kept by the broker like the main one, with its
// own in-flight window, queue and as many workers. Messages that it does not
// acknowledge because it is paused, slow or blocked do not delay other subscriptions,
// and vice versa. Subscriptions with the same name share a session. "" derives the name
// from the method of a generated service, else from the filter. If the derived name of
// a subscription is used by a different one, derived or explicit, the subscribe fails
// with an error that names both. Default: the main session.
func WithSubscribeOwnSession(name string) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Message.OwnSession, s.Message.SessionName = true, name })
}

// WithSubscribeTrustSender trusts the publishers on the topics of the subscription with
// the context of the handler: the publish is the parent of the handler's span instead
// of a link, so that its sampling decision applies, and its baggage is in the context.
// The broker must not let anyone else publish there. A batch of several messages is
// linked to them. The configuration of the subscription takes precedence. Default: false.
func WithSubscribeTrustSender() broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Message.TrustSender = true })
}

// WithSubscribeIgnoreRetained acknowledges retained messages without calling a handler,
// and counts them (RetainedIgnored in Health). Use it for messages that are only valid
// when sent, such as heartbeats. On MQTT 5 the broker is also asked not to send them,
// as with WithSubscribeRetainHandling(2); if another subscription on the filter wants
// them, only that one gets them. A message that is published with the retain flag while
// the subscription exists is handled: it arrives without the flag, because Retain As
// Published is never requested. The configuration of the subscription takes precedence.
// Default: false.
func WithSubscribeIgnoreRetained() broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.IgnoreRetained = true })
}
