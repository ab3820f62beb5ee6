package broker

import "fmt"

// Inject adds a fault. If several faults select a packet, all of them count it, and the action
// of the oldest one is applied. An observer may call it.
func (b *Broker) Inject(f Fault) (*Injected, error) {
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("fault: %w", err)
	}
	return b.script.faults.add(f), nil
}

// Faults returns how often faults were applied, by kind.
func (b *Broker) Faults() map[string]int64 { return b.script.faults.applied() }

// Observe calls f for every packet, one call at a time for the whole broker: for a packet from
// a client before it is handled, and for one to a client before it is written, so that f sees
// a packet before the client can. Bodies are valid only during the call. f must not call
// methods of the broker except Inject, Remove, Cut and Faults. A second call replaces the
// observer; nil removes it.
func (b *Broker) Observe(f func(Observed)) {
	b.core.locked(func() { b.script.observer = f })
}

// Cut resets the connections of these clients, or of all if none are named, and returns their
// number. An observer may call it.
func (b *Broker) Cut(clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, (*conn).reset)
	b.script.faults.countN("cut", n)
	return n
}

// HalfOpen makes the connections of these clients, or of all if none are named, dead without
// closing them, or revives them: nothing is read or written while on. It returns their number.
func (b *Broker) HalfOpen(on bool, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { c.hold(on, on) })
	if on {
		b.script.faults.countN("half-open", n)
	}
	return n
}

// StopReading stops or resumes reading from these clients, or from all if none are named. It
// returns their number.
func (b *Broker) StopReading(on bool, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { c.reading.set(on) })
	if on {
		b.script.faults.countN("stop reading", n)
	}
	return n
}

// BlackHole discards every packet of these clients, or of all if none are named, in one
// direction, or lets them pass again. It returns their number. It must not be called by an
// observer.
func (b *Broker) BlackHole(d Direction, on bool, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { b.core.locked(func() { c.acted.swallow[d&1] = on }) })
	if on {
		b.script.faults.countN("black hole", n)
	}
	return n
}

// Freeze stops the whole broker like a suspended process: the system still accepts
// connections, but nothing is read or written until it is called with false.
func (b *Broker) Freeze(on bool) {
	if on && !b.script.frozen.shut.Load() {
		b.script.faults.count("freeze")
	}
	b.script.frozen.set(on)
}

// Refuse closes the port, or opens it again: the system refuses new connections. Open
// connections are not affected.
func (b *Broker) Refuse(on bool) error {
	if !on {
		return b.listeners.open()
	}
	b.listeners.shut()
	b.script.faults.count("refuse connection")
	return nil
}

// Send writes bytes, valid or not, to these clients, or to all if none are named. It returns
// their number.
func (b *Broker) Send(bytes []byte, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { c.out.put(bytes, 0, goOn) })
	b.script.faults.countN("send", n)
	return n
}

// Redeliver sends unacknowledged messages again, with DUP, to these clients, or to all if none
// are named, although their connections did not end. It returns the number of messages. It
// must not be called by an observer.
func (b *Broker) Redeliver(clientIDs ...string) (n int) {
	b.listeners.chosen(clientIDs, func(c *conn) {
		b.core.locked(func() {
			s := c.session
			if s == nil || c.dead {
				return
			}
			s.out.each(func(d *delivery) {
				if d.connection == c.number && d.state == published {
					c.sendPublish(d, true)
					n++
				}
			})
		})
	})
	b.script.faults.countN("redeliver", n)
	return n
}
