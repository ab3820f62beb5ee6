package bridge

import (
	"cmp"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// OrderHeader carries the ordering key of a message, as the CloudEvents
// extension for partitioning does.
const OrderHeader = "partitionkey"

// Method is what generated code knows of the messages of one subscription. Its
// functions may be nil, but for Mismatch beside Bind.
type Method struct {
	// Bind sets the fields of a decoded message that its topic carries. It names
	// a field that the payload had otherwise.
	Bind func(topic string, body any) (mismatch string, err error)
	// Mismatch is told of that before the handler runs; an error is the handler's.
	Mismatch func(d *engine.Delivery, field string) error
	// ID returns the id of a message without another one.
	ID func(body any) string
	// Key returns the ordering key of a message that has none as a header; "" is
	// the topic.
	Key func(body any) string
	// LetterTopic is where a dead letter is published besides its store; body is
	// nil when it cannot be decoded.
	LetterTopic func(topic string, body any) (string, error)
}

func (m *Method) hasID() bool { return m != nil && m.ID != nil }

// bind completes a decoded event.
func (m *Method) bind(e *Event) (err error) {
	if m == nil {
		return nil
	}
	if m.Bind != nil {
		if e.mismatch, err = m.Bind(e.delivery.Topic, e.msg.Body); err != nil {
			return err
		}
	}
	if m.ID != nil && e.msg.ID == "" {
		e.id = m.ID(e.msg.Body)
		e.msg.ID = e.id
	}
	return nil
}

// describe gives the subscription what needs the message.
func (c *consumer) describe(sub *engine.Subscription) {
	if c.method == nil {
		return
	}
	if c.method.Key != nil {
		sub.OrderingKey = c.orderingKey
	}
	if c.method.LetterTopic != nil {
		sub.LetterTopic = c.letterTopic
	}
}

// orderingKey decodes the message only when no header has its key. What cannot
// be decoded is in the order of its topic.
func (c *consumer) orderingKey(m *engine.Inbound) string {
	if m.Properties != nil {
		if key, _ := last(m.Properties.User, OrderHeader); key != "" {
			return key
		}
	}
	e, err := c.open(&engine.Delivery{Inbound: m})
	if key, _ := last(e.header, OrderHeader); key != "" {
		return key
	}
	if err != nil {
		return m.Topic
	}
	return cmp.Or(c.method.Key(e.msg.Body), m.Topic)
}

func (c *consumer) letterTopic(d *engine.Delivery) (string, error) {
	e, err := c.open(d)
	if err != nil {
		e.msg.Body = nil
	}
	topic, err := c.method.LetterTopic(d.Topic, e.msg.Body)
	if err == nil {
		err = engine.ValidateTopic(topic)
	}
	return topic, err
}

// open decodes a message. The event is there also with an error.
func (c *consumer) open(d *engine.Delivery) (*Event, error) {
	e, err := c.broker.state().event(d)
	e.codec = c.codec
	if err == nil {
		err = c.decode(e)
	}
	return e, err
}
