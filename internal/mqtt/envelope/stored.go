package envelope

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Outgoing returns a message of a store in the form that is published.
func Outgoing(m *message.Message) *session.Message {
	return &session.Message{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Properties: properties(m)}
}

// Arrived returns a message of a store in the form in which it arrived.
func Arrived(m *message.Message) *session.Inbound {
	return &session.Inbound{Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Duplicate: true, Properties: properties(m)}
}

// properties are nil where the message has none.
func properties(m *message.Message) *session.Properties {
	if m.ContentType == "" && m.ResponseTopic == "" && m.CorrelationData == nil && m.Expiry == 0 && len(m.Headers) == 0 {
		return nil
	}
	return &session.Properties{
		ContentType: m.ContentType, ResponseTopic: m.ResponseTopic, CorrelationData: m.CorrelationData, Expiry: m.Expiry,
		User: slices.Clone(m.Headers),
	}
}

// Stored returns a message on its way out in the form that stores keep. It shares
// no memory with m.
func Stored(m *session.Message) message.Message {
	return stored(m.Topic, m.Payload, m.QoS, m.Retain, m.Properties)
}

// Kept returns a message that arrived in the form that stores keep. It shares no
// memory with m.
func Kept(m *session.Inbound) message.Message {
	return stored(m.Topic, m.Payload, m.QoS, m.Retain, m.Properties)
}

func stored(topic string, payload []byte, qos byte, retain bool, p *session.Properties) message.Message {
	m := view(topic, payload, qos, retain, p)
	m.Payload, m.CorrelationData, m.Headers = slices.Clone(payload), slices.Clone(m.CorrelationData), slices.Clone(m.Headers)
	return m
}

// View returns a message on its way out as hooks receive it. It shares the memory of m.
func View(m *session.Message) message.Message {
	return view(m.Topic, m.Payload, m.QoS, m.Retain, m.Properties)
}

// ViewArrived returns a message that arrived as hooks receive it. It shares the memory of m.
func ViewArrived(m *session.Inbound) message.Message {
	return view(m.Topic, m.Payload, m.QoS, m.Retain, m.Properties)
}

func view(topic string, payload []byte, qos byte, retain bool, p *session.Properties) message.Message {
	m := message.Message{Topic: topic, Payload: payload, QoS: qos, Retain: retain}
	if p != nil {
		m.ContentType, m.ResponseTopic, m.CorrelationData, m.Expiry, m.Headers = p.ContentType, p.ResponseTopic, p.CorrelationData, p.Expiry, p.User
	}
	return m
}
