package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// WithSubscribeQos sets the highest QoS of one subscription: 0, 1 or 2; others
// are an error of the subscribe. Default: 1.
func WithSubscribeQos(qos byte) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.QoS = qos })
}

// WithSubscribeCodec names the codec of one subscription; one that is not
// registered is an error of the subscribe. Default: the broker's.
func WithSubscribeCodec(name string) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.codec = name })
}

// WithSubscribeDeadLetters says that what arrives are dead letters, on whatever
// topic: the user properties "dead-letter-*" mean something there. A letter is handed
// over as its message came, not unwrapped as an event. Below "dead-letter/", and on the
// dead-letter topic of the same server or broker, it is so without the option; on
// other topics anybody may set these properties, and they are headers like others.
func WithSubscribeDeadLetters() broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.Letters = true })
}

// WithSubscribeTimeout bounds one attempt of the handler: its context ends. A
// handler that goes on all the same gets no second attempt meanwhile, and no
// message of its topic is handled. Default: 30 s.
func WithSubscribeTimeout(d time.Duration) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.Timeout = d })
}

// WithSubscribeBroad allows filters that take in more than one may mean: "#",
// "+/#" and "$SYS/...". Without it they are an error.
func WithSubscribeBroad() broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.broad = true })
}

// WithSubscribeRetainHandling says when the broker sends the messages that it
// has kept: 0 at each SUBSCRIBE, 1 only when the subscription is new, 2 never;
// others are an error of the subscribe. With several subscriptions on one
// filter the lowest counts. One with 0 that is registered later has the broker
// send them again, also to those that had them. MQTT 5 only: 3.1.1 sends them each
// time, and the log says so once. Default: 0.
func WithSubscribeRetainHandling(when byte) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.RetainHandling = when })
}

// WithSubscribeNoLocal keeps messages away that were published under the
// subscriber's own client id [MQTT-3.8.3-3]. Publishing has a client id of its
// own here, so messages of this process still arrive. With a queue name it is an
// error of the subscribe [MQTT-3.8.3-4]. MQTT 5 only; on 3.1.1 the log says so
// once. Default: false.
func WithSubscribeNoLocal() broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.NoLocal = true })
}

// WithSubscribeOrderingKey names the order that a message belongs to: messages
// with the same key are handled one at a time in the order of arrival, others
// in parallel; "" is no order. Acknowledgements keep theirs all the same. key
// runs on the connection's read loop: it must be quick and wait for nothing. A
// panic in it is logged and leaves the order to the topic. A key of what the sender
// may write, payload or header, orders all topics of the filter: put the topic in
// front of it where not all senders are trusted, or one that fails holds up the keys
// of others. Default: the topic.
func WithSubscribeOrderingKey(key func(m event.Incoming) string) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.OrderingKey = orderOf(key) })
}

// WithSubscribeOwnSession puts the subscription into a separate session: a connection
// with the client id <client id>-<name>, kept by the broker like the main one, with its
// own in-flight window, queue and as many workers. Messages that it does not
// acknowledge because it is paused, slow or blocked do not hold up other subscriptions,
// and vice versa. Subscriptions with the same name share a session. "" derives the name
// from the method of a generated service, else from the filter. If the derived name of
// a subscription is used by a different one, derived or explicit, the subscribe fails
// with an error that names both. Default: the main session.
func WithSubscribeOwnSession(name string) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.typed.OwnSession, s.typed.SessionName = true, name })
}

// WithSubscribeTrustSender trusts whoever publishes on the topics of the subscription
// with the context of the handler: the publish is the parent of the handler's span
// instead of a link, so that its sampling counts, and its baggage is in the context.
// The broker must let nobody else publish there. A batch is linked to its messages in
// any case. The configuration of the subscription counts over it. Default: false.
func WithSubscribeTrustSender() broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.typed.TrustSender = true })
}

// WithSubscribeIgnoreRetained acknowledges messages that the broker had kept, counts
// them (RetainedIgnored of the health), and calls no handler: for what says "now", as
// a heartbeat does. On MQTT 5 the broker is also asked not to send them, as
// WithSubscribeRetainHandling(2) does; where another subscription on the filter wants
// them it gets them alone. A message that is published with the retain flag while the
// subscription is there is handled: it comes without the flag, because Retain As
// Published is never asked for. The configuration of the subscription counts over it.
// Default: false.
func WithSubscribeIgnoreRetained() broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.IgnoreRetained = true })
}
