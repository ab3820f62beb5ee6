package broker

import "time"

// first treats the first packet of a connection, which must be CONNECT
// [MQTT-3.1.0-1].
func (c *conn) first(p Packet) error {
	if p.Type() != Connect {
		return breach("%v before CONNECT", p.Type())
	}
	m, err := decodeConnect(p.Body)
	if err != nil {
		c.turnAway(p, m.version, err)
		return errDead
	}
	if p.First&15 != 0 {
		return malformed("flags of CONNECT")
	}
	assigned := ""
	if m.clientID == "" {
		m.clientID = randomID()
		assigned = m.clientID
		if m.will != nil {
			m.will.message.from = assigned
		}
	}
	c.b.locked(func() { c.version, c.clientID = m.version, m.clientID })
	c.name.Store(&m.clientID)
	v := c.b.faults.decide(ToBroker, c, p)
	if v != nil && v.action.kind == delay && !c.sleep(time.Until(c.arrival.Add(v.action.delay))) {
		return errDead
	}
	if v == nil || v.action.welcomes() {
		if m.refusal = c.b.examine(m); m.refusal == 0 {
			c.succeed(m.clientID)
		}
	}
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if c.dead {
		return errDead
	}
	c.b.observe(ToBroker, c, p, v)
	return c.admit(m, assigned, v)
}

// examine returns why a CONNECT cannot be accepted, 0 if it can.
func (b *Broker) examine(m *connect) (code byte) {
	switch {
	case m.authMethod:
		return reasonAuthMethod
	case m.will != nil && m.will.message.qos > b.options.maxQoS:
		return reasonQoSNotSupported
	case b.options.authenticate != nil:
		return b.options.authenticate(m.clientID, m.user, m.password)
	}
	return 0
}

// welcomes reports whether a CONNECT that it hits is accepted all the same.
func (a Action) welcomes() bool {
	switch a.kind {
	case delay, cutAfter, stopReading, call:
		return true
	default:
		return false
	}
}

// admit treats a well-formed CONNECT and the fault that may hit it.
func (c *conn) admit(m *connect, assigned string, v *Injected) error {
	kind := pass
	if v != nil {
		kind = v.action.kind
	}
	switch kind {
	case refuse:
		c.connect = m
		c.refuseConnect(v.action.code)
		return errDead
	case drop:
		c.connect, c.swallow = m, [2]bool{true, true} // it waits for a CONNACK for ever
		return nil
	case cutBefore, cutWithin:
		c.reset()
		return errCut
	case cutAfter:
		c.mute = true
		_ = c.welcome(m, assigned) // cut in any case
		c.reset()
		return errCut
	case halfOpen:
		c.connect = m
		c.hold(true, true)
		c.swallow = [2]bool{true, true}
		return nil
	case stopReading:
		c.hold(true, false)
	case call:
		c.b.start(v.action.call)
	}
	return c.welcome(m, assigned)
}

// turnAway answers a CONNECT that cannot be accepted.
func (c *conn) turnAway(p Packet, version byte, err error) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	c.b.observe(ToBroker, c, p, nil)
	c.b.counts.Violations++
	v, _ := err.(*violation) //nolint:errorlint // decoding returns nothing else
	if v == nil || v.code == reasonMalformed || v.code == reasonProtocol {
		return // [MQTT-3.1.4-1]
	}
	c.version = version
	c.refuseConnect(v.code)
}

// welcome gives the connection its session.
func (c *conn) welcome(m *connect, assigned string) error {
	b := c.b
	c.connect = m
	if m.refusal != 0 {
		c.refuseConnect(m.refusal)
		return errDead
	}
	s := b.sessions[m.clientID]
	if s != nil && s.conn != nil {
		old := s.conn
		s.detach(false)
		if old.reading.shut.Load() || old.writing.shut.Load() {
			old.reset()
		}
		old.dismiss(reasonTakenOver) // [MQTT-3.1.4-3]
		s = b.sessions[m.clientID]
	}
	if s != nil && m.clean {
		s.end() // [MQTT-3.1.2-4]
		s = nil
	}
	present := s != nil
	if s == nil && len(b.sessions) >= b.options.maxSessions {
		b.refused.Add(1)
		c.refuseConnect(reasonQuota)
		return errDead
	}
	if s == nil {
		s = b.newSession(m.clientID, m.version)
		b.counts.Sessions++
	}
	c.quota = min(m.receiveMaximum, b.options.maxInflight)
	s.attach(c)
	b.changed()
	c.sendConnack(present, assigned)
	s.pump()
	return nil
}
