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
	p := &session.Properties{
		ContentType: m.ContentType, ResponseTopic: m.ResponseTopic, CorrelationData: m.CorrelationData, Expiry: m.Expiry,
	}
	for _, h := range m.Headers {
		p.User = append(p.User, session.UserProperty(h))
	}
	return p
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
	m := message.Message{Topic: topic, Payload: slices.Clone(payload), QoS: qos, Retain: retain}
	if p == nil {
		return m
	}
	m.ContentType, m.ResponseTopic, m.Expiry = p.ContentType, p.ResponseTopic, p.Expiry
	m.CorrelationData = slices.Clone(p.CorrelationData)
	for _, u := range p.User {
		m.Headers = append(m.Headers, message.Header(u))
	}
	return m
}
