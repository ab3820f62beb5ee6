package bridge

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"

// Method is what generated code knows of the messages of one subscription. Its
// functions may be nil, but for Mismatch beside Bind.
type Method struct {
	// Bind sets the fields of a decoded message that its topic carries. It names
	// a field that the payload had otherwise.
	Bind func(topic string, body any) (mismatch string, err error)
	// Mismatch is told of that before the handler runs; an error is the handler's.
	Mismatch func(d *client.Delivery, field string) error
	// ID returns the declared id of a decoded message; "" leaves it to the header.
	ID func(body any) string
	// Key returns the declared ordering key of a decoded message; "" is the topic.
	// Nil leaves it to the header.
	Key func(body any) string
	// KeyOfTopic returns the same of the topic, for a key that is a parameter of
	// that; nil for another one.
	KeyOfTopic func(topic string) string
	// KeysSpan says that a key orders all topics of the filter.
	KeysSpan bool
	// Levels returns the levels of a topic that ids and keys never span; nil is none.
	Levels func(topic string) string
	// LetterTopic is where a dead letter is published besides its store; body is
	// nil when it cannot be decoded.
	LetterTopic func(topic string, body any) (string, error)
}

// bind completes a decoded event.
func (m *Method) bind(e *Event) (err error) {
	if m == nil || m.Bind == nil {
		return nil
	}
	e.mismatch, err = m.Bind(e.delivery.Topic, e.msg.Body)
	return err
}

// describe gives the subscription what needs the message.
func (c *consumer) describe(sub *client.Subscription) {
	m := c.method
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

func (c *consumer) letterTopic(d *client.Delivery) (string, error) {
	e, err := c.open(d)
	if err != nil {
		e.msg.Body = nil
	}
	topic, err := c.method.LetterTopic(d.Topic, e.msg.Body)
	if err == nil {
		err = client.ValidateTopic(topic)
	}
	return topic, err
}

// open decodes a message. The event is there also with an error.
func (c *consumer) open(d *client.Delivery) (*Event, error) {
	e, err := c.broker.state().open(d)
	e.codec = c.codec
	if err == nil {
		err = c.decode(e)
	}
	return e, err
}
