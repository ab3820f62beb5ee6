package broker

import "fmt"

// Inject adds a fault to those in force. Where several match, the oldest one
// acts; all count the packet. It may be called by an observer.
func (b *Broker) Inject(f Fault) (*Injected, error) {
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("fault: %w", err)
	}
	return b.script.faults.add(f), nil
}

// Faults is how often faults were applied, by kind.
func (b *Broker) Faults() map[string]int64 { return b.script.faults.applied() }

// Observe shows every packet to f, one call at a time for the whole broker: one
// from a client before it is treated, one to a client before it is written, so
// that what a client knows, f has seen. Bodies are valid during the call only.
// F must not call methods of the broker except Inject, Remove, Cut and Faults.
// A second call replaces the observer, nil removes it.
func (b *Broker) Observe(f func(Observed)) {
	b.core.locked(func() { b.script.observer = f })
}

// Cut resets the connections of these clients, or all if none are named, and
// returns how many there were. It may be called by an observer.
func (b *Broker) Cut(clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, (*conn).reset)
	b.script.faults.countN("cut", n)
	return n
}

// HalfOpen makes the connections of these clients dead without closing them, or
// brings them back to life: nothing is read and nothing written. All if none
// are named. It returns how many there were.
func (b *Broker) HalfOpen(on bool, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { c.hold(on, on) })
	if on {
		b.script.faults.countN("half-open", n)
	}
	return n
}

// StopReading reads nothing more from these clients, or goes on. All if none are
// named. It returns how many there were.
func (b *Broker) StopReading(on bool, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { c.reading.set(on) })
	if on {
		b.script.faults.countN("stop reading", n)
	}
	return n
}

// BlackHole swallows every packet of these clients in one direction, or lets
// them pass again. All if none are named. It returns how many there were. It
// must not be called by an observer.
func (b *Broker) BlackHole(d Direction, on bool, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { b.core.locked(func() { c.acted.swallow[d&1] = on }) })
	if on {
		b.script.faults.countN("black hole", n)
	}
	return n
}

// Freeze stops the whole broker like a stopped process: new connections are
// made by the system, but nothing is read or written until it is called with
// false.
func (b *Broker) Freeze(on bool) {
	if on && !b.script.frozen.shut.Load() {
		b.script.faults.count("freeze")
	}
	b.script.frozen.set(on)
}

// Refuse closes the port, or opens it again: dialling clients are refused by the
// system. Open connections stay.
func (b *Broker) Refuse(on bool) error {
	if !on {
		return b.listeners.open()
	}
	b.listeners.shut()
	b.script.faults.count("refuse connection")
	return nil
}

// Send writes bytes, well formed or not, to these clients, or to all if none
// are named. It returns how many there were.
func (b *Broker) Send(bytes []byte, clientIDs ...string) int {
	n := b.listeners.chosen(clientIDs, func(c *conn) { c.out.put(bytes, 0, goOn) })
	b.script.faults.countN("send", n)
	return n
}

// Redeliver sends what these clients have not acknowledged again, with DUP,
// though their connections did not end. All if none are named. It returns how
// many messages that were. It must not be called by an observer.
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
