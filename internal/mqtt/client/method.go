package client

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"

// Method is what generated code knows of the messages of one subscription. Its
// functions may be nil, except that Bind requires Mismatch.
type Method struct {
	// Bind sets the fields of a decoded message that its topic carries. It
	// names a field whose value in the payload differs.
	Bind func(topic string, body any) (mismatch string, err error)
	// Mismatch is called with that field before the handler runs; its error counts as
	// the handler's.
	Mismatch func(d *Delivery, field string) error
	// ID returns the declared id of a decoded message; "" leaves it to the header.
	ID func(body any) string
	// Key returns the declared ordering key of a decoded message; "" is the topic.
	// Nil leaves it to the header.
	Key func(body any) string
	// KeyOfTopic returns the ordering key from the topic, if the key is a parameter of
	// the topic; otherwise it is nil.
	KeyOfTopic func(topic string) string
	// KeysSpan is set if a key orders all topics of the filter.
	KeysSpan bool
	// Levels returns the levels of a topic that ids and keys never span; it may be nil.
	Levels func(topic string) string
	// LetterTopic is where a dead letter is published besides its store; body is
	// nil when it cannot be decoded.
	LetterTopic func(topic string, body any) (string, error)
}

// describe sets the functions of the subscription that read its messages.
func (c *consumer) describe(sub *Subscription) {
	m := c.typed.Method
	if m == nil {
		return
	}
	switch {
	case m.KeyOfTopic != nil:
		sub.Order = m.orderOfTopic
	case m.Key != nil:
		sub.OrderingKey = c.orderOfField
	default:
		sub.Order = m.orderOfHeader
	}
	if m.LetterTopic != nil {
		sub.LetterTopic = c.letterTopic
	}
}

// letterTopic returns where the dead letter of a message is published.
func (c *consumer) letterTopic(d *Delivery) (string, error) {
	e, err := c.open(d.Inbound, d.Letters())
	if err != nil {
		e.Body = nil
	}
	topic, err := c.typed.Method.LetterTopic(d.Topic, e.Body)
	if err == nil {
		err = ValidateTopic(topic)
	}
	return topic, err
}

// Access rules of a broker guard topics, but not payloads or headers: a key that anybody
// may write must not delay the messages of others. So a key that is part of the topic is
// taken from there, and any other key counts within its topic, unless the service declares
// that it spans topics.

// orderOfTopic returns the order by a key in the topic; "" means that of the topic.
func (m *Method) orderOfTopic(in *Inbound) string {
	return m.spanning(in.Topic, m.KeyOfTopic(in.Topic))
}

// orderOfField returns the order by a key in the payload. A message that cannot be decoded
// is ordered by its topic.
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

// orderOfHeader returns the order by a key in a header, for methods that declare no key; ""
// means that of the topic.
func (m *Method) orderOfHeader(in *Inbound) string {
	if in.Properties == nil {
		return ""
	}
	key, _ := envelope.Last(in.Properties.User, envelope.OrderHeader)
	return m.scoped(in.Topic, key)
}

// endOfTopic separates a topic from a key in the name of an order. No topic contains it
// [MQTT-3.3.2-2], so that different pairs have different names.
const endOfTopic = "#"

// scoped returns the name of the order of a key within its topic; "" means that of the
// topic.
func (m *Method) scoped(topic, key string) string {
	if m.KeysSpan || key == "" {
		return m.spanning(topic, key)
	}
	return topic + endOfTopic + key
}

// spanning returns the name of the order of a key that spans topics, but never the levels
// that separate tenants; "" means that of the topic.
func (m *Method) spanning(topic, key string) string {
	if m.Levels == nil || key == "" {
		return key
	}
	return m.Levels(topic) + endOfTopic + key
}
