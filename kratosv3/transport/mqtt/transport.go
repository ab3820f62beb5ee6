package mqtt

import (
	"context"

	"github.com/go-kratos/kratos/v3/transport"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
)

// KindMQTT is the kind of the transport in every handler's context. It is untyped.
const KindMQTT = "mqtt"

var _ transport.Transporter = (*Transport)(nil)

// Transport is in the context of every handler; transport.FromServerContext and
// [FromContext] return it. It belongs to one attempt at one message and must not be kept.
type Transport struct{ attempt operation.Attempt }

// begin puts the Transport of an attempt into its context.
func begin(ctx context.Context, h *operation.Handler, d *client.Delivery) (context.Context, *operation.Attempt) {
	t := &Transport{operation.NewAttempt(h, d)}
	return transport.NewServerContext(ctx, t), &t.attempt
}

// attemptOf returns the attempt of a context, or nil.
func attemptOf(ctx context.Context) *operation.Attempt {
	if t, ok := FromContext(ctx); ok {
		return &t.attempt
	}
	return nil
}

// FromContext returns the MQTT transport of a handler's context.
func FromContext(ctx context.Context) (*Transport, bool) {
	tr, ok := transport.FromServerContext(ctx)
	if !ok {
		return nil, false
	}
	t, ok := tr.(*Transport)
	return t, ok
}

// Kind is "mqtt".
func (t *Transport) Kind() transport.Kind { return KindMQTT }

// Endpoint is the broker's URL, without user information.
func (t *Transport) Endpoint() string { return t.attempt.Endpoint() }

// Operation is the name by which middleware is selected: /pkg.Service/Method for a
// generated handler, and the topic filter for other subscriptions.
func (t *Transport) Operation() string { return t.attempt.Operation() }

// RequestHeader has the user properties of the message (MQTT 5) and the attributes of its
// CloudEvent, all values of a key in order, with keys in lower case. It has trace context,
// baggage and Kratos metadata (x-md-...) only if the sender is trusted, see
// [mqttbroker.WithSubscribeTrustSender], or the metadata is allowed, see [AllowedMetadata]. The
// headers passed to a handler always have them. For a batch it is the header of the first message.
func (t *Transport) RequestHeader() transport.Header { return &t.attempt.Request }

// ReplyHeader has the headers of the reply of a replier, sent as user properties (MQTT 5)
// or as attributes of the carrier. Other handlers send no reply.
func (t *Transport) ReplyHeader() transport.Header { return &t.attempt.Reply }

// Topic is the name that the message was published on.
func (t *Transport) Topic() string { return t.attempt.Topic }

// QoS is the QoS of the delivery.
func (t *Transport) QoS() byte { return t.attempt.QoS }

// Retained reports whether the message is a retained one.
func (t *Transport) Retained() bool { return t.attempt.Retain }

// Duplicate reports whether the broker may have delivered the message before.
func (t *Transport) Duplicate() bool { return t.attempt.Duplicate }

// Params returns the parameters of the topic by their names in the template: "device_id"
// of "devices/{device_id}/data". Each call parses the topic again. It returns nil for a
// subscription that was not generated, and for a template without parameters.
func (t *Transport) Params() map[string]string { return t.attempt.Params() }

// ID is the id of the message: the field that a generated method names as id_field, or
// [mqttbroker.WithSubscribeIDField], else its user property "id" (MQTT 5), else the id of
// its CloudEvent, else "". The sender chooses it; it is unique within its topic at most.
func (t *Transport) ID() string { return t.attempt.ID() }

// Attempt is the number of the handler's attempt at the message, from 1.
func (t *Transport) Attempt() int { return t.attempt.Attempt() }
