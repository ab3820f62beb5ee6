package broker

// Observe shows every packet to f, one call at a time for the whole broker: one
// from a client before it is treated, one to a client before it is written, so
// that what a client knows, f has seen. Bodies are valid during the call only.
// F must not call methods of the broker except Inject, Remove, Cut and Faults.
// A second call replaces the observer, nil removes it.
func (b *Broker) Observe(f func(Observed)) {
	b.locked(func() { b.observer = f })
}

// observe counts a packet and shows it.
func (b *Broker) observe(d Direction, c *conn, p Packet, v *Injected) {
	b.counts.packets[d][p.First>>4]++
	if b.observer == nil {
		return
	}
	o := Observed{Packet: p, Direction: d, ClientID: c.clientID, Version: c.version, Connection: c.number}
	if v != nil {
		o.Fault = v.action.name(p.Type())
	} else if c.swallow[d] {
		o.Fault = drop.String()
	}
	b.observer(o)
}

// send sends one whole packet, as far as the faults allow it.
func (c *conn) send(b []byte) {
	if c.dead || c.mute {
		return
	}
	if !c.takes(len(b)) {
		c.giveUp()
		return
	}
	if c.b.observer == nil && !c.b.faults.some.Load() && !c.swallow[ToClient] {
		c.b.counts.packets[ToClient][b[0]>>4]++
		c.out.put(b, 0, goOn)
		return
	}
	p := packetOf(b)
	v := c.b.faults.decide(ToClient, c, p)
	c.b.observe(ToClient, c, p, v)
	if c.swallow[ToClient] {
		return
	}
	if v == nil {
		c.out.put(b, 0, goOn)
		return
	}
	c.sendFaulty(b, p, v.action)
}

// sendFaulty sends a packet that a fault hits.
func (c *conn) sendFaulty(b []byte, p Packet, a Action) {
	switch a.kind {
	case drop:
		return
	case cutBefore:
		c.cutOff(nil)
		return
	case cutWithin:
		c.cutOff(b[:len(b)/2])
		return
	case cutAfter:
		c.cutOff(b)
		return
	case halfOpen:
		c.hold(true, true)
		return
	case rewrite:
		for _, other := range a.rewrite(p) {
			c.out.put(other, 0, goOn)
		}
		return
	case replay:
		c.out.put(b, 0, goOn)
		again := clone(b)
		if p.Type() == Publish && p.QoS() > 0 {
			again[0] |= 8
		}
		c.out.put(again, 0, goOn)
		return
	case stopReading:
		c.hold(true, false)
	case call:
		c.b.start(a.call)
	}
	c.out.put(b, a.delay, goOn)
}

// cutOff ends the connection after some last bytes, and hears nothing more.
func (c *conn) cutOff(last []byte) {
	c.mute = true
	c.swallow[ToBroker] = true
	c.out.put(last, 0, fin)
}

// packetOf is the packet that b begins with.
func packetOf(b []byte) Packet {
	f := frames{buf: b, end: len(b), max: len(b)}
	p, _ := f.take()
	return p
}
