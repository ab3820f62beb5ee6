package mqtt

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// publishCall is one Publish: its options, which write into the message as far as they can,
// and what tells the outcome when nobody waits.
type publishCall struct {
	generic broker.PublishOptions
	msg     envelope.Message // a topic of its own is over the one that was given
	props   client.Properties
	named   string // the topic that the template of msg led to
	ready   bool   // a request or a reply, whose codec and way are its own
	qosSet  bool   // else the generic number of acknowledgements counts
	context option.Context[publishCall]
	outcome outcome
}

// SetQoS sets the QoS of one publish, which takes precedence over the generic number of
// acknowledgements.
func (r *publishCall) SetQoS(qos byte) { r.msg.QoS, r.qosSet = qos, true }

// publishing makes a kratos-transport option of a change to one publish.
func publishing(set func(*publishCall)) broker.PublishOption {
	return func(o *broker.PublishOptions) {
		if o != nil {
			o.Context = option.Change(o.Context, set)
		}
	}
}

// newPublishCall returns a publish whose message is complete, with the body not encoded
// yet. A middleware may have changed topic, body, headers and options, and may publish
// more than once: each time is a new one. It is never nil.
func (f *front) newPublishCall(topic string, msg *broker.Message, opts []broker.PublishOption) (*publishCall, error) {
	r, err := newPublishOptions(topic, opts)
	if err != nil {
		return r, err
	}
	m := &r.msg
	if !r.ready || r.generic.BodyCodec != "" {
		codec, err := f.codec(r.generic.BodyCodec)
		if err != nil {
			return r, client.CodecError("publish", cmp.Or(m.Topic, topic), err)
		}
		m.Codec = codec
	}
	complete(m, topic, msg)
	if r.generic.Retries != unset {
		m.Retries = &r.generic.Retries
	}
	if m.Topic != r.named { // an option or a middleware chose the topic
		m.Template = ""
	}
	m.SkipOutbox = m.SkipOutbox || r.ready // not by way of an outbox, whatever an option says
	return r, nil
}

// newPublishOptions returns a publish with its options, without a message. It is never nil.
func newPublishOptions(topic string, opts []broker.PublishOption) (*publishCall, error) {
	r := &publishCall{generic: broker.PublishOptions{Context: context.Background(), RequiredAcks: unset, Retries: unset}}
	r.msg.QoS, r.msg.Properties = option.DefaultQoS, &r.props
	r.context.Settings = r
	option.Apply(&r.context, &r.generic, &r.generic.Context, opts)
	if r.props.Expiry < 0 {
		return r, client.BadRequest("publish", topic, fmt.Sprintf("expiry of %v", r.props.Expiry))
	}
	return r, r.requireAcks(topic)
}

// complete puts what is to be sent into a message; topic and id of an option take precedence.
func complete(m *envelope.Message, topic string, msg *broker.Message) {
	m.Topic, m.Body, m.Headers, m.MessageID = cmp.Or(m.Topic, topic), msg.Body, msg.Headers, cmp.Or(m.MessageID, msg.ID)
}

// requireAcks reads the generic number of acknowledgements as a QoS; -1, all
// of them, is at least once.
func (r *publishCall) requireAcks(topic string) error {
	acks := r.generic.RequiredAcks
	switch {
	case acks == unset || acks == -1 || r.qosSet:
		return nil
	case acks >= 0 && acks <= 2:
		r.msg.QoS = byte(acks)
		return nil
	}
	return client.BadRequest("publish", topic, fmt.Sprintf("%d required acknowledgements, want -1, 0, 1 or 2", acks))
}

// take publishes a request or a reply with its own settings; later options take
// precedence.
func (r *publishCall) take(of *envelope.Message) {
	r.ready, r.named = true, of.Topic
	r.SetQoS(of.QoS)
	m := &r.msg
	m.Retain, m.SkipOutbox, m.Codec, m.Transmit = of.Retain, of.SkipOutbox, of.Codec, of.Transmit
	m.Template, m.Operation = of.Template, of.Operation
	if of.Properties != nil {
		r.props = *of.Properties
		r.props.User = slices.Clip(r.props.User)
	}
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
