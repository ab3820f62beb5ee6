package broker

import "strings"

// arrived handles a packet of a client, and the fault that may hit it.
func (c *conn) arrived(p Packet) error {
	switch {
	case c.half != nil:
		return c.continued(p)
	case c.connect == nil:
		return c.first(p)
	case p.Type() == Auth && c.version == 5:
		return c.reauthenticate(p)
	}
	v, err := c.script.decide(c, p)
	if err != nil {
		return err
	}
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	if c.dead {
		return errDead
	}
	c.script.observe(ToBroker, c, p, v)
	if c.acted.swallow[ToBroker] {
		return nil
	}
	if v == nil {
		return c.handle(p, nil)
	}
	return c.script.receive(c, p, v)
}

// handle handles a packet; refusal is the fault that refuses it, or nil. The core's mutex
// is held.
func (c *conn) handle(p Packet, refusal *Injected) error {
	if flags := p.First & 15; p.Type() != Publish && flags != fixedFlags(p.Type()) { // [MQTT-2.1.3-1]
		return malformed("flags %#x of %v", flags, p.Type())
	}
	switch t := p.Type(); t {
	case Publish:
		return c.handlePublish(p, refusal)
	case Puback, Pubrec, Pubcomp:
		a, err := decodeAck(p, c.version)
		if err == nil {
			c.session.acknowledged(t, a)
		}
		return err
	case Pubrel:
		return c.handlePubrel(p)
	case Subscribe:
		return c.handleSubscribe(p, refusal)
	case Unsubscribe:
		return c.handleUnsubscribe(p, refusal)
	case Pingreq:
		if len(p.Body) > 0 {
			return malformed("PINGREQ with a body")
		}
		c.send([]byte{byte(Pingresp) << 4, 0})
		return nil
	case Disconnect:
		return c.handleDisconnect(p)
	}
	return breach("%v from a client", p.Type()) // [MQTT-3.1.0-2]
}

func fixedFlags(t PacketType) byte {
	if t == Pubrel || t == Subscribe || t == Unsubscribe {
		return 2
	}
	return 0
}

func (c *conn) handlePublish(p Packet, refusal *Injected) error {
	m, err := decodePublish(p, c.version)
	if err != nil {
		return err
	}
	topic, err := c.resolve(&m)
	if err != nil {
		return err
	}
	s, core := c.session, c.core
	_, repeated := s.received[m.id]
	switch {
	case m.qos > core.options.maxQoS:
		return &violation{reasonQoSNotSupported, "QoS"} // [MQTT-3.2.2-11]
	case m.qos == 2 && repeated:
		core.counts.Repeated++
		c.sendAck(Pubrec, m.id, 0)
		return nil
	case m.qos == 2 && c.version == 5 && core.options.receiveMaximum > 0 && len(s.received) >= core.options.receiveMaximum:
		return &violation{reasonReceiveMaximum, "receive maximum exceeded"} // [MQTT-3.3.4-9]
	}
	var code byte
	switch {
	case isSys(topic) && c.version == 5:
		code = reasonNotAuthorized
	case isSys(topic):
		core.counts.Swallowed++
	case refusal == nil && m.retain && len(m.payload) > 0 && m.qos > 0 && c.version == 5 && !core.retained.fits(string(topic), len(topic)+len(m.props)+len(m.payload)):
		code = reasonQuota
	case refusal == nil:
		routed := m.message(core.router.lookup(topic).topic, s.id)
		routed.node = c.via.node
		if !core.publish(routed) && c.version == 5 {
			code = reasonNoSubscribers
		}
	case c.version == 5:
		code = refusal.action.code
	default:
		core.counts.Swallowed++
	}
	switch m.qos {
	case 1:
		c.sendAck(Puback, m.id, code)
	case 2:
		if code < 0x80 {
			s.received[m.id] = struct{}{}
			core.record.received(s, recordReceived, m.id)
			core.changed()
		}
		c.sendAck(Pubrec, m.id, code)
	}
	return nil
}

// resolve returns the topic of a PUBLISH, which may use an alias.
func (c *conn) resolve(m *publish) ([]byte, error) {
	if m.alias == 0 {
		return m.topic, nil
	}
	if m.alias > c.core.options.aliasMaximum { // [MQTT-3.3.2-9]
		return nil, &violation{reasonAlias, "topic alias above the maximum"}
	}
	if len(m.topic) > 0 {
		if c.aliases == nil {
			c.aliases = make(map[uint16]string)
		}
		c.aliases[uint16(m.alias)] = string(m.topic)
		return m.topic, nil
	}
	topic, ok := c.aliases[uint16(m.alias)]
	if !ok {
		return nil, breach("topic alias %d is not defined", m.alias)
	}
	return []byte(topic), nil
}

func (c *conn) handlePubrel(p Packet) error {
	a, err := decodeAck(p, c.version)
	if err != nil {
		return err
	}
	var code byte
	if _, known := c.session.received[a.id]; known {
		delete(c.session.received, a.id)
		c.core.record.received(c.session, recordReleased, a.id)
		c.core.changed()
	} else {
		code = reasonIDNotFound
	}
	c.sendAck(Pubcomp, a.id, code)
	return nil
}

func (c *conn) handleSubscribe(p Packet, refusal *Injected) error {
	s, err := decodeSubscribe(p.Body, c.version)
	if err != nil {
		return err
	}
	codes := make([]byte, len(s.requests))
	granted := make(map[string]byte) // filters of this packet; one that comes twice is granted once
	for i, r := range s.requests {
		if code, again := granted[r.filter]; again {
			codes[i] = code
			continue
		}
		if codes[i] = c.refuses(r, refusal); codes[i] != 0 {
			if c.version == 4 {
				codes[i] = reasonUnspecified
			}
			continue
		}
		r.qos = min(r.qos, c.core.options.maxQoS)
		codes[i], granted[r.filter] = r.qos, r.qos
		sub, fresh := c.session.subscribe(r, s.subscriptionID)
		if sub.group == nil && (r.retainHandling == 0 || (r.retainHandling == 1 && fresh)) {
			c.session.unsent = append(c.session.unsent, sub)
		}
	}
	c.send(appendAnswer(nil, c.version, Suback, s.id, codes))
	c.core.sendRetained(c.session)
	return nil
}

// maxLevels limits the levels of a filter, and maxFilterBytes the memory of the filters of a
// session.
const (
	maxLevels      = 200
	maxFilterBytes = 16 << 20
)

// filterSize is about the memory of a filter in bytes: each level is a node of the tree.
func filterSize(filter string) int { return len(filter) + 300*(1+strings.Count(filter, "/")) }

// refuses returns why a filter is not granted, or 0.
func (c *conn) refuses(r request, refusal *Injected) byte {
	switch {
	case refusal != nil && refusal.hits(r.filter):
		return refusal.action.code
	case strings.Count(r.plain, "/") >= maxLevels:
		return reasonFilter
	case c.session.subs[r.filter] != nil:
	case len(c.session.subs) >= c.core.options.maxSubscriptions, c.session.filterBytes+filterSize(r.filter) > maxFilterBytes:
		return reasonQuota
	}
	return 0
}

func (c *conn) handleUnsubscribe(p Packet, refusal *Injected) error {
	u, err := decodeUnsubscribe(p.Body, c.version)
	if err != nil {
		return err
	}
	codes := make([]byte, len(u.filters))
	for i, filter := range u.filters {
		sub := c.session.subs[filter]
		switch {
		case refusal != nil && refusal.hits(filter):
			codes[i] = refusal.action.code
		case sub != nil:
			c.session.unsubscribe(sub)
		default:
			codes[i] = reasonNoSubscription
		}
	}
	c.send(appendAnswer(nil, c.version, Unsuback, u.id, codes))
	return nil
}

func (c *conn) handleDisconnect(p Packet) error {
	d, err := decodeDisconnect(p.Body, c.version)
	if err != nil {
		return err
	}
	if d.hasExpiry {
		if c.session.expiry == 0 && d.expiry != 0 {
			return breach("session expiry %d after 0", d.expiry) // [MQTT-3.14.2-2]
		}
		c.session.expiry = d.expiry
	}
	c.polite = d.code == 0 // any other one publishes the will [MQTT-3.14.4-3]
	return errDead
}
