package broker

import "encoding/binary"

// send sends one packet, after applying the faults.
func (c *conn) send(b []byte) {
	if c.dead || c.acted.mute {
		return
	}
	if !c.takes(len(b)) {
		c.giveUp()
		return
	}
	if c.script.idle() && !c.acted.swallow[ToClient] {
		c.core.counts.packets[ToClient][b[0]>>4]++
		if b[0]>>4 == byte(Pingresp) && c.journal.stuck() { // the broker lives, though its disk is full
			c.out.putAhead(b)
			return
		}
		c.out.put(b, 0, goOn)
		return
	}
	c.script.send(c, b)
}

// sendPublish sends a delivery. At QoS 0 it is dropped if the client does not read, or does
// not accept packets of that size.
func (c *conn) sendPublish(d *delivery, dup bool) {
	if d.qos == 0 {
		switch {
		case d.msg.expired():
			c.core.counts.Expired++
			return
		case c.tooLarge(d):
			c.core.counts.TooLarge++
			return
		case c.out.waiting() >= c.core.options.maxQueuedBytes:
			c.core.counts.QoS0Dropped++
			return
		}
	}
	c.core.scratch = appendPublish(c.core.scratch[:0], c.version, d.msg, d, dup)
	c.send(c.core.scratch)
	if cap(c.core.scratch) > 1<<20 {
		c.core.scratch = nil
	}
}

// tooLarge reports whether a delivery exceeds the Maximum Packet Size of the
// client [MQTT-3.1.2-24].
func (c *conn) tooLarge(d *delivery) bool {
	size, _ := publishSize(c.version, d.msg, d)
	return !c.takes(1 + varintSize(uint32(size)) + size)
}

// takes reports whether the client accepts packets of that size.
func (c *conn) takes(size int) bool {
	return c.connect == nil || c.connect.maximumPacket == 0 || size <= c.connect.maximumPacket
}

// giveUp ends a connection whose client does not accept the response that it waits for.
func (c *conn) giveUp() {
	if last := []byte{byte(Disconnect) << 4, 1, reasonPacketTooLarge}; c.takes(len(last)) {
		c.out.put(last, 0, goOn)
	}
	c.acted.mute = true
	c.fin()
}

func (c *conn) sendAck(t PacketType, id uint16, code byte) {
	var b [8]byte
	c.send(appendAck(b[:0], c.version, t, id, code))
}

// sendConnack accepts a connection.
func (c *conn) sendConnack(present bool, assigned string) {
	var flags byte
	if present {
		flags = 1
	}
	if c.version == 4 {
		c.send([]byte{byte(Connack) << 4, 2, flags, 0})
		return
	}
	o := c.core.options
	var props []byte
	if o.receiveMaximum > 0 {
		props = binary.BigEndian.AppendUint16(append(props, propReceiveMaximum), uint16(o.receiveMaximum))
	}
	if o.maxQoS < 2 {
		props = append(props, propMaximumQoS, o.maxQoS)
	}
	if o.aliasMaximum > 0 {
		props = binary.BigEndian.AppendUint16(append(props, propTopicAliasMaximum), uint16(o.aliasMaximum))
	}
	if o.announcePacket {
		props = binary.BigEndian.AppendUint32(append(props, propMaximumPacketSize), uint32(o.maxPacket))
	}
	if assigned != "" {
		props = appendText(append(props, propAssignedClientID), assigned)
	}
	props = appendAuthProperties(props, c.connect.authMethod, c.connect.authData) // [MQTT-4.12.0-2]
	body := append([]byte{flags, 0}, binary.AppendUvarint(nil, uint64(len(props)))...)
	c.send(Packet{First: byte(Connack) << 4, Body: append(body, props...)}.Encode())
}

// refuseConnect answers a CONNECT with a code and ends the connection.
func (c *conn) refuseConnect(code byte) {
	b := []byte{byte(Connack) << 4, 2, 0, connackCode(c.version, code)}
	if c.version == 5 {
		b[1] = 3
		b = append(b, 0)
	}
	c.end(b)
	c.dead = true
}

// refuseFurther sends an MQTT 5 client the reason why its connection ends.
func (c *conn) refuseFurther(code byte) {
	c.core.counts.Violations++
	if c.connect != nil && c.version == 5 {
		c.end([]byte{byte(Disconnect) << 4, 1, code})
	}
}

// goodbye ends the connection gracefully; an MQTT 5 client receives the code if it is not 0.
func (c *conn) goodbye(code byte) {
	if c.version == 5 && code != 0 {
		c.end([]byte{byte(Disconnect) << 4, 1, code})
		return
	}
	c.fin()
}

// end sends a last packet.
func (c *conn) end(packet []byte) {
	c.send(packet)
	c.fin()
}

// dismiss ends a connection that is already marked dead, on MQTT 5 with a DISCONNECT.
func (c *conn) dismiss(code byte) {
	if c.version == 5 {
		c.out.put([]byte{byte(Disconnect) << 4, 1, code}, 0, goOn)
	}
	c.fin()
}
