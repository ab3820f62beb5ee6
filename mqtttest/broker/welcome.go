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
		m.refusal = c.core.options.examine(m)
		if m.refusal == 0 && m.authMethod != "" && !c.authenticate(m, assigned, v, p) {
			return nil
		}
	}
	return c.admit(m, assigned, v, p)
}

// admit answers a CONNECT.
func (c *conn) admit(m *connect, assigned string, v *Injected, p Packet) error {
	if m.refusal == 0 && (v == nil || v.action.welcomes()) {
		c.succeed(m.clientID)
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

// authenticate begins the exchange of a CONNECT. It returns false if the exchange goes on.
func (c *conn) authenticate(m *connect, assigned string, v *Injected, p Packet) (over bool) {
	h := &handshake{m, assigned, v, Packet{p.First, clone(p.Body)}, c.core.options.exchange(m.clientID)}
	answer, code := h.exchange(m.authData)
	if code == authContinue {
		c.half = h
		c.core.locked(func() { c.send(appendAuth(authContinue, m.authMethod, answer)) })
		return false
	}
	m.refusal, m.authData = code, answer
	return true
}

// continued handles a packet of a client whose exchange is not over [MQTT-3.1.4-5].
func (c *conn) continued(p Packet) error {
	h := c.half
	code, data, err := decodeAuth(p, h.connect.authMethod)
	if err != nil {
		return err
	}
	if code != authContinue {
		return breach("AUTH with code 0x%02X instead of an answer", code)
	}
	answer, code := h.exchange(data)
	if code == authContinue {
		c.core.locked(func() { c.send(appendAuth(authContinue, h.connect.authMethod, answer)) })
		return nil
	}
	c.half = nil
	h.connect.refusal, h.connect.authData = code, answer
	return c.admit(h.connect, h.assigned, h.verdict, h.packet)
}

// reauthenticate handles an AUTH on an open connection (section 4.12.1).
func (c *conn) reauthenticate(p Packet) error {
	method := c.connect.authMethod
	if method == "" {
		return breach("AUTH from a client that named no method") // [MQTT-4.12.0-7]
	}
	code, data, err := decodeAuth(p, method)
	switch {
	case err != nil:
		return err
	case code == authAgain:
		c.again = c.core.options.exchange(c.connect.clientID)
	case code != authContinue || c.again == nil:
		return breach("AUTH with code 0x%02X", code)
	}
	answer, code := c.again(data)
	if code != authContinue {
		c.again = nil
	}
	if code != authSuccess && code != authContinue {
		return &violation{code, "authentication"}
	}
	c.core.locked(func() { c.send(appendAuth(code, method, answer)) })
	return nil
}

// examine returns why a CONNECT cannot be accepted, or 0.
func (o *options) examine(m *connect) (code byte) {
	switch {
	case m.authMethod != "" && m.authMethod != o.method:
		return reasonAuthMethod
	case m.will != nil && m.will.message.qos > o.maxQoS:
		return reasonQoSNotSupported
	case o.authenticate != nil && m.authMethod == "":
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
	key := core.cluster.key(m.clientID, c.via.node)
	s := core.sessions[key]
	if s != nil && s.conn != nil {
		old := s.conn
		s.detach(false)
		if old.held() {
			old.reset()
		}
		old.dismiss(reasonTakenOver) // [MQTT-3.1.4-3]
		s = core.sessions[key]
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
		s = core.newSession(key, m.version)
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
