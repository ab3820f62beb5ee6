package broker

import "time"

// connect is a decoded CONNECT.
type connect struct {
	version   byte
	clean     bool
	keepAlive time.Duration
	clientID  string
	user      string
	password  string
	will      *will

	expiry         uint32 // seconds; on 3.1.1 0 or forever
	receiveMaximum int
	maximumPacket  int // 0: no limit
	aliasMaximum   int
	authMethod     string // of enhanced authentication; empty without
	authData       []byte // of the client, then of the answer

	refusal byte // why it cannot be accepted, 0 if it can
}

// will is the message that is published if a connection ends without a DISCONNECT.
type will struct {
	message *message
	delay   time.Duration
}

const (
	forever           = 0xFFFFFFFF // session expiry that never comes
	defaultMaximum    = 65535      // receive maximum of a client that names none
	connectProperties = propertySet(1<<propSessionExpiry | 1<<propAuthMethod | 1<<propAuthData | 1<<propRequestProblem | 1<<propRequestResponse | 1<<propReceiveMaximum | 1<<propTopicAliasMaximum | 1<<propUserProperty | 1<<propMaximumPacketSize)
	willProperties    = propertySet(1<<propPayloadFormat | 1<<propMessageExpiry | 1<<propContentType | 1<<propResponseTopic | 1<<propCorrelationData | 1<<propWillDelay | 1<<propUserProperty)
)

// decodeConnect returns the MQTT version for the response even if it fails.
func decodeConnect(body []byte) (*connect, error) {
	c := cursor{b: body}
	m := &connect{version: 4, receiveMaximum: defaultMaximum}
	name, version := string(c.text()), c.byte()
	if c.err != nil {
		return m, c.err
	}
	if name == "MQTT" && version >= 5 {
		m.version = 5
	}
	if name != "MQTT" || (version != 4 && version != 5) {
		return m, &violation{reasonVersion, "protocol version"}
	}
	flags := c.byte()
	if flags&1 != 0 {
		return m, malformed("reserved connect flag") // [MQTT-3.1.2-3]
	}
	m.clean = flags&2 != 0
	m.keepAlive = time.Duration(c.uint16()) * time.Second
	if version == 5 {
		m.properties(&c)
	} else if !m.clean {
		m.expiry = forever
	}
	m.clientID = string(c.text())
	m.decodeWill(&c, flags)
	if flags&0x80 != 0 {
		m.user = string(c.text())
	} else if flags&0x40 != 0 && version == 4 {
		return m, malformed("password without user name") // [MQTT-3.1.2-22]
	}
	if flags&0x40 != 0 {
		m.password = string(c.binary())
	}
	if err := c.end(); err != nil {
		return m, err
	}
	if m.clientID == "" && version == 4 && !m.clean {
		return m, &violation{reasonClientID, "no client id, and a session to keep"} // [MQTT-3.1.3-8]
	}
	return m, nil
}

func (m *connect) properties(c *cursor) {
	var data struct{ method, there bool }
	c.properties(connectProperties, func(p property) {
		switch p.id {
		case propSessionExpiry:
			m.expiry = p.num
		case propReceiveMaximum:
			m.receiveMaximum = int(p.num)
		case propMaximumPacketSize:
			m.maximumPacket = int(p.num)
		case propTopicAliasMaximum:
			m.aliasMaximum = int(p.num)
		case propAuthMethod:
			m.authMethod, data.method = string(p.data), true
		case propAuthData:
			m.authData, data.there = clone(p.data), true
		}
		if p.num == 0 && (p.id == propReceiveMaximum || p.id == propMaximumPacketSize) && c.err == nil {
			c.err = breach("property %d is 0", p.id)
		}
	})
	if data.there && !data.method && c.err == nil { // section 3.1.2.11.10
		c.err = breach("authentication data without a method")
	}
}

func (m *connect) decodeWill(c *cursor, flags byte) {
	if flags&4 == 0 {
		if flags&0x38 != 0 {
			c.failf("will flags without a will") // [MQTT-3.1.2-11]
		}
		return
	}
	w := &will{message: &message{qos: flags >> 3 & 3, retain: flags&0x20 != 0, from: m.clientID}}
	if w.message.qos > 2 {
		c.failf("will QoS 3") // [MQTT-3.1.2-12]
	}
	if m.version == 5 {
		c.properties(willProperties, func(p property) {
			switch p.id {
			case propWillDelay:
				w.delay = time.Duration(p.num) * time.Second
			case propResponseTopic:
				c.checkResponseTopic(p.data)
				w.message.keep(p)
			default:
				w.message.keep(p)
			}
		})
	}
	w.message.topic = string(c.text())
	w.message.payload = clone(c.binary())
	if c.err == nil && !validTopic(w.message.topic) {
		c.err = &violation{reasonTopicName, "will topic"}
	}
	m.will = w
}
