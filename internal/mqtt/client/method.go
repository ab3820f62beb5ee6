package client

// Method is what generated code knows of the messages of one subscription. Its
// functions may be nil, but for Mismatch beside Bind.
type Method struct {
	// Bind sets the fields of a decoded message that its topic carries. It names
	// a field that the payload had otherwise.
	Bind func(topic string, body any) (mismatch string, err error)
	// Mismatch is told of that before the handler runs; an error is the handler's.
	Mismatch func(d *Delivery, field string) error
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

// describe sets what the subscription asks of its messages.
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

// letterTopic is where the dead letter of a message is published.
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
