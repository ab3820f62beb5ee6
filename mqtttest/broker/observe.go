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
