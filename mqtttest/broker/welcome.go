package broker

import (
	"crypto/rand"
	"encoding/hex"
)

// first handles the first packet of a connection, which must be CONNECT [MQTT-3.1.0-1].
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
	c.core.locked(func() { c.version, c.clientID = m.version, m.clientID })
	c.name.Store(&m.clientID)
	v, err := c.script.decide(c, p)
	if err != nil {
		return err
	}
	if v == nil || v.action.welcomes() {
		if m.refusal = c.core.options.examine(m); m.refusal == 0 {
			c.succeed(m.clientID)
		}
	}
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	if c.dead {
		return errDead
	}
	c.script.observe(ToBroker, c, p, v)
	if v == nil {
		return c.welcome(m, assigned)
	}
	return c.script.welcome(c, m, assigned, v)
}

// examine returns why a CONNECT cannot be accepted, or 0.
func (o *options) examine(m *connect) (code byte) {
	switch {
	case m.authMethod:
		return reasonAuthMethod
	case m.will != nil && m.will.message.qos > o.maxQoS:
		return reasonQoSNotSupported
	case o.authenticate != nil:
		return o.authenticate(m.clientID, m.user, m.password)
	}
	return 0
}

// turnAway answers a CONNECT that cannot be accepted.
func (c *conn) turnAway(p Packet, version byte, err error) {
	c.core.mu.Lock()
	defer c.core.mu.Unlock()
	c.script.observe(ToBroker, c, p, nil)
	c.core.counts.Violations++
	v, _ := err.(*violation) //nolint:errorlint // decoding returns nothing else
	if v == nil || v.code == reasonMalformed || v.code == reasonProtocol {
		return // [MQTT-3.1.4-1]
	}
	c.version = version
	c.refuseConnect(v.code)
}

// welcome attaches the connection to its session.
func (c *conn) welcome(m *connect, assigned string) error {
	core := c.core
	c.connect = m
	if m.refusal != 0 {
		c.refuseConnect(m.refusal)
		return errDead
	}
	s := core.sessions[m.clientID]
	if s != nil && s.conn != nil {
		old := s.conn
		s.detach(false)
		if old.held() {
			old.reset()
		}
		old.dismiss(reasonTakenOver) // [MQTT-3.1.4-3]
		s = core.sessions[m.clientID]
	}
	if s != nil && m.clean {
		s.end() // [MQTT-3.1.2-4]
		s = nil
	}
	present := s != nil
	if s == nil && len(core.sessions) >= core.options.maxSessions {
		core.traffic.refused.Add(1)
		c.refuseConnect(reasonQuota)
		return errDead
	}
	if s == nil {
		s = core.newSession(m.clientID, m.version)
		core.counts.Sessions++
	}
	c.quota = min(m.receiveMaximum, core.options.maxInflight)
	s.attach(c)
	core.changed()
	c.sendConnack(present, assigned)
	s.pump()
	return nil
}

func randomID() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return "auto-" + hex.EncodeToString(b[:])
}
