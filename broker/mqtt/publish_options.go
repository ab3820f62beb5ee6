package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// publishCall are the settings of one Publish.
type publishCall struct {
	generic broker.PublishOptions

	Topic       string // over the one that was given
	QoS         byte
	Retain      bool
	Expiry      time.Duration
	ContentType string                // else the codec's
	User        []client.UserProperty // beside the headers

	ID     string // over the message's
	Key    string // of the order in an outbox, else the topic
	Direct bool   // past the outbox

	Method   *event.MethodDesc // of a generated client; nil without one
	Unrouted *event.Unrouted   // over what configuration and method say

	OrderKey string // that the message has itself; a header where there is room
	IDKnown  bool   // the message has its id itself, likewise

	ready  *envelope.Message // a request or a reply, sent as it is; may be nil
	qosSet bool              // else the generic number of acknowledgements counts

	carrier carrier[publishCall]
	msg     envelope.Message // that is made of it
	outcome outcome          // when nobody waits
}

// SetQoS sets the QoS of one publish, which takes precedence over the generic number of
// acknowledgements.
func (r *publishCall) SetQoS(qos byte) { r.QoS, r.qosSet = qos, true }

// publishing makes a kratos-transport option of a change to one publish.
func publishing(set func(*publishCall)) broker.PublishOption {
	return func(o *broker.PublishOptions) {
		if o != nil {
			o.Context = change(o.Context, set)
		}
	}
}

func newPublishCall(topic string, opts []broker.PublishOption) (*publishCall, error) {
	r := &publishCall{generic: broker.PublishOptions{Context: context.Background(), RequiredAcks: unset, Retries: unset}, QoS: defaultQoS}
	if len(opts) == 0 {
		return r, nil
	}
	r.carrier.settings = r
	read(&r.carrier, &r.generic, &r.generic.Context, opts)
	if r.Expiry < 0 {
		return r, badRequest("publish", topic, fmt.Sprintf("expiry of %v", r.Expiry))
	}
	return r, r.requireAcks(topic)
}

// requireAcks reads the generic number of acknowledgements as a QoS; -1, all
// of them, is at least once.
func (r *publishCall) requireAcks(topic string) error {
	acks := r.generic.RequiredAcks
	switch {
	case acks == unset || acks == -1 || r.qosSet:
		return nil
	case acks >= 0 && acks <= 2:
		r.QoS = byte(acks)
		return nil
	}
	return badRequest("publish", topic, fmt.Sprintf("%d required acknowledgements, want -1, 0, 1 or 2", acks))
}

// retries returns the number of retries that the caller wants, or nil for the number in
// the settings.
func (r *publishCall) retries() *int {
	if r.generic.Retries == unset {
		return nil
	}
	return &r.generic.Retries
}

// take publishes a request or a reply with its own settings; later options take
// precedence.
func (r *publishCall) take(m *envelope.Message) {
	r.ready = m
	r.SetQoS(m.QoS)
	p := m.Props()
	r.Retain, r.Direct, r.Expiry, r.ContentType, r.User = m.Retain, m.Direct, p.Expiry, p.ContentType, slices.Clip(p.User)
}

// message returns the message to publish, with the body not encoded yet. A middleware
// may have changed topic, body and headers. Each call returns a new message, because a
// middleware may publish more than once.
func (r *publishCall) message(c *client.Client, topic string, msg *broker.Message) (*envelope.Message, error) {
	codec, err := c.Codec(r.generic.BodyCodec)
	if err != nil {
		return nil, codecError("publish", topic, err)
	}
	m := &r.msg
	*m = envelope.Message{
		Message: client.Message{Topic: topic, QoS: r.QoS, Retain: r.Retain},
		Body:    msg.Body, Codec: codec, Headers: msg.Headers, MessageID: cmp.Or(r.ID, msg.ID),
		Key: r.Key, OrderKey: r.OrderKey, IDKnown: r.IDKnown, Direct: r.Direct, RetryUnrouted: c.RetryUnrouted(r.Method, r.Unrouted),
	}
	p := m.Props()
	*p = client.Properties{ContentType: r.ContentType, Expiry: r.Expiry, User: r.User}
	if of := r.ready; of != nil {
		m.Direct, m.Transmit = true, of.Transmit // not by way of an outbox, whatever an option says
		p.ResponseTopic, p.CorrelationData = of.Props().ResponseTopic, of.Props().CorrelationData
		if r.generic.BodyCodec == "" {
			m.Codec = of.Codec
		}
	}
	return m, nil
}

// bound limits ctx by the timeout and the context of the options.
func (r *publishCall) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	other := r.generic.Context
	if r.generic.Timeout <= 0 && other.Done() == nil {
		return ctx, func() {}
	}
	stops := make([]func(), 0, 3)
	limit := func(ctx context.Context, cancel context.CancelFunc) context.Context {
		stops = append(stops, cancel)
		return ctx
	}
	if r.generic.Timeout > 0 {
		ctx = limit(context.WithTimeout(ctx, r.generic.Timeout))
	}
	if d, ok := other.Deadline(); ok {
		ctx = limit(context.WithDeadline(ctx, d))
	}
	if other.Done() != nil {
		joined, cancel := context.WithCancel(ctx)
		ctx = limit(joined, cancel)
		stop := context.AfterFunc(other, func() {
			if other.Err() == context.Canceled { // a deadline has come already
				cancel()
			}
		})
		stops = append(stops, func() { stop() })
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
	}
}

func badRequest(op, topic, what string) error {
	return &event.Error{Op: op, Topic: logsafe.Clip(topic), Reason: event.ReasonBadRequest, Cause: errors.New(what)}
}
