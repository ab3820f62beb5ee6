package bridge

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// draft is a message on its way out, before it has its form on the wire.
type draft struct {
	msg     Message
	props   client.Properties // with the headers that were asked for
	ambient []ambient         // headers of the context
	body    any               // before it was encoded
	reply   bool              // goes back to who asked
}

// user adds a header.
func (d *draft) user(key, value string) {
	d.props.User = append(d.props.User, client.UserProperty{Key: key, Value: value})
}

// draft encodes a message and collects its headers. On MQTT 5 they are user
// properties, unless the carrier takes them; 3.1.1 has no place for either.
func (s *state) draft(topic string, msg *broker.Message, codecName string, own *PublishSettings) (*draft, error) {
	codec, err := s.codec(codecName)
	if err != nil {
		return nil, codecError("publish", topic, err)
	}
	switch {
	case own.noCodec:
		codec = nil
	case own.codec != nil:
		codec = own.codec
	}
	d := &draft{body: msg.Body, reply: own.answer != nil}
	d.msg = Message{
		Message: client.Message{Topic: topic, QoS: own.QoS, Retain: own.Retain},
		Key:     own.Key, Direct: own.Direct, answer: own.answer, RetryUnrouted: s.outbox.retryUnrouted(own),
	}
	if d.msg.Payload, err = marshal(codec, msg.Body); err != nil {
		return nil, codecError("publish", topic, err)
	}
	d.props = client.Properties{
		ContentType: own.ContentType, Expiry: own.Expiry,
		ResponseTopic: own.ResponseTopic, CorrelationData: own.Correlation,
	}
	if d.props.ContentType == "" && codec != nil {
		d.props.ContentType = contentType(codec.Name())
	}
	if n := len(msg.Headers) + len(own.User); n > 0 {
		d.props.User = make([]client.UserProperty, 0, n+2)
		d.headers(msg, own.ID != "" || msg.ID != "")
		d.props.User = append(d.props.User, own.User...)
	}
	bare := s.cloudEvents == "" && s.client.Speaks() == client.Version31
	if id := cmp.Or(own.ID, msg.ID); id != "" && own.IDKnown && bare {
		d.msg.id = id
	} else if id != "" {
		d.user(idKey, id)
	}
	if own.OrderKey != "" && !bare {
		d.user(OrderHeader, own.OrderKey)
	}
	return d, nil
}

// headers adds them in the order of their names, so that equal messages are
// equal on the wire. The id of a message counts over a header of that name.
func (d *draft) headers(msg *broker.Message, named bool) {
	for _, key := range slices.Sorted(maps.Keys(msg.Headers)) {
		if !named || !strings.EqualFold(key, idKey) {
			d.user(key, msg.Headers[key])
		}
	}
}

// message returns the draft in its form on the wire.
func (s *state) message(ctx context.Context, d *draft) (*Message, error) {
	if err := s.numberable(d.props.User); err != nil {
		return nil, badRequest("publish", d.msg.Topic, err.Error())
	}
	if !d.reply {
		addMetadata(ctx, d)
	}
	if s.cloudEvents != "" {
		if err := s.structure(d); err != nil {
			return nil, formError("publish", d.msg.Topic, err)
		}
	}
	if err := client.CheckSent(d.props.User); err != nil {
		return nil, tooLarge("publish", d.msg.Topic, err)
	}
	s.addAmbient(d)
	if !d.bare() {
		d.msg.Properties = &d.props
	}
	if !d.msg.named() {
		d.msg.ID = client.NewID()
	}
	return &d.msg, nil
}

// bare says that there is nothing to carry.
func (d *draft) bare() bool {
	p := &d.props
	return p.ContentType == "" && p.Expiry == 0 && p.ResponseTopic == "" && p.CorrelationData == nil && len(p.User) == 0
}

// typeName is the type of an event: the full name of a protobuf message.
func (d *draft) typeName() string {
	if m, ok := d.body.(proto.Message); ok {
		return string(m.ProtoReflect().Descriptor().FullName())
	}
	return "bytes"
}
