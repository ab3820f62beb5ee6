package client

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"

// Access rules of a broker guard topics, and neither payloads nor headers: a key
// that anybody may write must not hold up the keys of others. So a key that is part
// of the topic is taken from there, and any other one counts within its topic,
// unless the service says that it spans topics.

// orderOfTopic is the order by a key that the topic carries; "" is the topic's.
func (m *Method) orderOfTopic(in *Inbound) string {
	return m.spanning(in.Topic, m.KeyOfTopic(in.Topic))
}

// orderOfField is the order by a key that the payload carries. What cannot be
// decoded is in the order of its topic.
func (c *consumer) orderOfField(in *Inbound) string {
	m := c.typed.Method
	e, err := c.open(in, (&Delivery{Event: envelope.Event{Inbound: in}}).Letters())
	if err != nil {
		return in.Topic
	}
	if key := m.scoped(in.Topic, m.Key(e.Body)); key != "" {
		return key
	}
	return in.Topic
}

// orderOfHeader is the order by a key that only a header names, where the method
// declares none; "" is the topic's.
func (m *Method) orderOfHeader(in *Inbound) string {
	if in.Properties == nil {
		return ""
	}
	key, _ := envelope.Last(in.Properties.User, envelope.OrderHeader)
	return m.scoped(in.Topic, key)
}

// endOfTopic divides a topic from what belongs to it: no topic has it
// [MQTT-3.3.2-2], so that no topic and key make the name of another order.
const endOfTopic = "#"

// scoped is the name of the order of a key; "" is the topic's.
func (m *Method) scoped(topic, key string) string {
	if m.KeysSpan || key == "" {
		return m.spanning(topic, key)
	}
	return topic + endOfTopic + key
}

// spanning is the name of the order of a key that spans topics, but never the
// levels that keep tenants apart; "" is the topic's.
func (m *Method) spanning(topic, key string) string {
	if m.Levels == nil || key == "" {
		return key
	}
	return m.Levels(topic) + endOfTopic + key
}
