package bridge

import (
	"cmp"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Message is a message on its way out.
type Message = envelope.Message

// newEnvelope resolves how messages are written and read.
func (s *state) newEnvelope(from *Settings) (*envelope.Settings, error) {
	trust, err := envelope.NewTrust(from.AllowedMetadata, contextFields(from.Propagator))
	e := &envelope.Settings{
		Codecs: codecNamed, MaxPayload: s.cfg.MaxPayload, MaxInbound: s.cfg.MaxInbound, IDs: from.IDs,
		Metadata: metadataOf, Trust: trust, Losses: &s.broker.losses, CheckHeaders: s.numberable,
		Speaks: func() client.Protocol { return s.client.Speaks() },
	}
	if s.options.Codec != nil {
		e.Codec = s.options.Codec
	}
	if source := from.CloudEvents; source != nil {
		e.Source = *source
	}
	return e, err
}

// codecNamed is Kratos' registry of codecs.
func codecNamed(name string) envelope.Codec {
	if c := encoding.GetCodec(name); c != nil {
		return c
	}
	return nil
}

// contextFields returns the headers that our propagator and OpenTelemetry's global
// one use.
func contextFields(own func() propagation.TextMapPropagator) []string {
	fields := otel.GetTextMapPropagator().Fields()
	if own != nil {
		fields = append(fields, own().Fields()...)
	}
	return fields
}

// encode makes m the message that a publish asks for, with its body encoded.
func (s *state) encode(m *Message, topic string, msg *broker.Message, codecName string, own *PublishSettings) error {
	codec, err := s.envelope.Named(codecName)
	if err != nil {
		return codecError("publish", topic, err)
	}
	switch {
	case own.noCodec:
		codec = nil
	case own.codec != nil:
		codec = own.codec
	}
	*m = Message{
		Message: client.Message{Topic: topic, QoS: own.QoS, Retain: own.Retain},
		Body:    msg.Body, Codec: codec, Headers: msg.Headers, MessageID: cmp.Or(own.ID, msg.ID),
		Key: own.Key, OrderKey: own.OrderKey, IDKnown: own.IDKnown, Direct: own.Direct, RetryUnrouted: s.retryUnrouted(own),
	}
	if own.answer != nil {
		m.Transmit = own.answer.transmit
	}
	*m.Props() = client.Properties{
		ContentType: own.ContentType, Expiry: own.Expiry, User: own.User,
		ResponseTopic: own.ResponseTopic, CorrelationData: own.Correlation,
	}
	return s.envelope.Encode(m)
}
