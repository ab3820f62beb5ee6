package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// NewBroker returns a broker that connects with Connect and then keeps its
// connection until Disconnect. It never returns nil; problems of the options
// are reported together by Init, Connect, and whatever is called first. All
// methods are safe for concurrent use, and what they return is an *event.Error,
// which kratos errors.FromError understands.
//
// # Publish
//
// Publish returns nil only when the broker has acknowledged the message (QoS 1,
// the default, and 2) or the bytes were handed to a live connection (QoS 0).
// While disconnected it waits for the connection: within the context's
// deadline, or for 10 s. MayHaveBeenSent of an error reports whether publishing
// again may duplicate.
//
// With [WithOutbox] it returns nil once the message is in the outbox, also while
// disconnected. What the broker refuses for now is published again within the
// time of the call, see [WithPublishRetry].
//
// On MQTT 5 the headers of a message are user properties, its id, a UUIDv7 where
// the caller gave none, is the user property "id", and the codec is named by the content type, which a subscriber
// decodes by when it names a registered codec. With the tracing options the
// trace context travels, too (traceparent, tracestate), and so does Kratos
// metadata of the context: its x-md- client metadata, and the x-md-global-
// metadata of the request being handled. MQTT 3.1.1 has no place for any of it:
// the message is sent without, which is counted in the health, and logged once;
// see [WithCloudEvents].
//
// Of kratos-transport's options the timeout, like the context of
// WithPublishContext, bounds the whole call. Retries, over [WithPublishRetry],
// publish again what was refused for now or not acknowledged, as the same message;
// QoS 0 and 2 are not published again once they may have been sent. An
// asynchronous publish has one attempt. Required acknowledgements of 0, 1 and 2 are
// the QoS, -1 is QoS 1. With WithPublishAsync, Publish returns once the message
// is accepted into the in-flight window, and the callback is called once with
// the outcome when Publish returned nil, and not at all otherwise; without it
// the callback is always called, with what Publish returns. Callbacks run one
// at a time, in the order of acknowledgements: a slow one slows the publisher.
//
// # Subscribe
//
// Subscribe waits up to 10 s for the SUBACK while connected, and a refusal is
// an error; before Connect it registers, and Connect reports the refusal. A
// second handler on the same filter runs as well. Disconnect keeps the
// registrations for the next Connect; Unsubscribe ends one.
//
// A message is acknowledged after every handler that matches its topic
// returned nil. An error, or a panic, is retried with backoff within 5 s. Then
// the message is parked, when the store of [WithDeadLetters] parks: stored,
// acknowledged and handled again later, while whatever arrives for its key is
// parked behind it. Otherwise the broker's ErrorHandler is told, the message
// becomes a dead letter, and is acknowledged once that is safe. What cannot be
// decoded, and Kratos errors with code 400, 413, 422 and 501, are not retried.
// Messages of one topic are handled in order, different
// topics in parallel, at most 16 at once.
//
// Of kratos-transport's options a queue name makes a shared subscription
// ($share/<name>/<filter>). Concurrency bounds how many messages of the
// subscription are handled at once. Retries, and the delay as the first of
// growing pauses, count within the 5 s, which end them. Without automatic
// acknowledgement a message is acknowledged by Ack, at any time after its
// handler returned nil; until then those behind it are not acknowledged
// either. The handler's context ends after 30 s and has the values of
// WithSubscribeContext, whose end does not end the subscription.
func NewBroker(opts ...broker.Option) broker.Broker {
	return bridge.New(opts...)
}
