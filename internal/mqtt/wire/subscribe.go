package wire

// SubscribeCount returns the packet identifier of a SUBSCRIBE or UNSUBSCRIBE
// and the number of its topic filters, which is at least one [MQTT-3.8.3-2,
// MQTT-3.10.3-2]. first, the first byte of the fixed header, determines the
// type. Compare both results with those of [SubackCount] for the answer.
func SubscribeCount(v Version, first byte, body []byte) (id uint16, n int, err error) {
	t := Type(first >> 4)
	if t != TypeSubscribe && t != TypeUnsubscribe {
		return 0, 0, malformed(t, "section 2.1.2", "not a SUBSCRIBE or UNSUBSCRIBE")
	}
	id, c, err := subscriptionHeader(v, t, first, body)
	if err != nil {
		return 0, 0, err
	}
	for ; len(c) > 0; n++ {
		if err := c.filter(t); err != nil {
			return 0, 0, err
		}
	}
	if n == 0 {
		return 0, 0, malformed(t, "MQTT-3.8.3-2", "no topic filter")
	}
	return id, n, nil
}

// filter takes one topic filter and, in a SUBSCRIBE, its options.
func (c *cursor) filter(t Type) error {
	f, ok := c.field()
	if !ok {
		return truncated(t, "topic filter")
	}
	if len(f) == 0 {
		return malformed(t, "MQTT-4.7.3-1", "topic filter is empty")
	}
	if err := checkText(t, "topic filter", f); err != nil {
		return err
	}
	if t != TypeSubscribe {
		return nil
	}
	options, ok := c.byte()
	if !ok {
		return truncated(t, "subscription options")
	}
	if options&3 > MaxQoS {
		return malformed(t, "section 3.8.3.1", "QoS 3")
	}
	return nil
}

// SubackCount returns the packet identifier of a SUBACK or UNSUBACK and the
// number of its codes. first, the first byte of the fixed header, determines
// the type. There must be as many codes as the request had filters
// [MQTT-3.9.3-1], except in an UNSUBACK on 3.1.1, which has none. More codes
// than filters can crash a client library, so compare the numbers before
// passing the packet on. A code that is not a refusal must be a QoS
// [MQTT-3.9.3-2], or one of the two success codes of UNSUBACK [MQTT-3.11.3-2].
func SubackCount(v Version, first byte, body []byte) (id uint16, n int, err error) {
	t := Type(first >> 4)
	if t != TypeSuback && t != TypeUnsuback {
		return 0, 0, malformed(t, "section 2.1.2", "not a SUBACK or UNSUBACK")
	}
	id, c, err := subscriptionHeader(v, t, first, body)
	if err != nil {
		return 0, 0, err
	}
	bare := t == TypeUnsuback && v != V5
	switch {
	case bare && len(c) > 0:
		return 0, 0, malformed(t, "section 2.1.4", "more than a packet identifier on 3.1.1")
	case !bare && len(c) == 0:
		return 0, 0, malformed(t, "MQTT-3.9.3-1", "no reason code")
	}
	for _, code := range c {
		if err := checkCode(t, code); err != nil {
			return 0, 0, err
		}
	}
	return id, len(c), nil
}

// subscriptionHeader reads the common part of the four packets about
// subscriptions: flags, packet identifier and, on MQTT 5, properties. It
// returns the rest of the body.
func subscriptionHeader(v Version, t Type, first byte, body []byte) (uint16, cursor, error) {
	if err := checkFlags(first); err != nil {
		return 0, nil, err
	}
	c := cursor(body)
	id, ok := c.uint16()
	if !ok {
		return 0, nil, truncated(t, "packet identifier")
	}
	if id == 0 {
		return 0, nil, malformed(t, "MQTT-2.2.1-3", "packet identifier 0")
	}
	if v != V5 {
		return id, c, nil
	}
	props, err := c.properties(t)
	if err != nil {
		return 0, nil, err
	}
	var seen uint64
	for len(props) > 0 {
		if _, err := props.property(t, &seen); err != nil {
			return 0, nil, err
		}
	}
	return id, c, nil
}
