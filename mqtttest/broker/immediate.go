package broker

// Cut resets the connections of these clients, or all if none are named, and
// returns how many there were. It may be called by an observer.
func (b *Broker) Cut(clientIDs ...string) int {
	n := b.chosen(clientIDs, (*conn).reset)
	b.faults.countN("cut", n)
	return n
}

// HalfOpen makes the connections of these clients dead without closing them, or
// brings them back to life: nothing is read and nothing written. All if none
// are named. It returns how many there were.
func (b *Broker) HalfOpen(on bool, clientIDs ...string) int {
	n := b.chosen(clientIDs, func(c *conn) { c.hold(on, on) })
	if on {
		b.faults.countN("half-open", n)
	}
	return n
}

// StopReading reads nothing more from these clients, or goes on. All if none are
// named. It returns how many there were.
func (b *Broker) StopReading(on bool, clientIDs ...string) int {
	n := b.chosen(clientIDs, func(c *conn) { c.reading.set(on) })
	if on {
		b.faults.countN("stop reading", n)
	}
	return n
}

// BlackHole swallows every packet of these clients in one direction, or lets
// them pass again. All if none are named. It returns how many there were. It
// must not be called by an observer.
func (b *Broker) BlackHole(d Direction, on bool, clientIDs ...string) int {
	n := b.chosen(clientIDs, func(c *conn) { b.locked(func() { c.swallow[d&1] = on }) })
	if on {
		b.faults.countN("black hole", n)
	}
	return n
}

// Freeze stops the whole broker like a stopped process: new connections are
// made by the system, but nothing is read or written until it is called with
// false.
func (b *Broker) Freeze(on bool) {
	if on && !b.frozen.shut.Load() {
		b.faults.count("freeze")
	}
	b.frozen.set(on)
}

// Refuse closes the port, or opens it again: dialling clients are refused by the
// system. Open connections stay.
func (b *Broker) Refuse(on bool) error {
	if !on {
		return b.open()
	}
	b.shut()
	b.faults.count("refuse connection")
	return nil
}

// Send writes bytes, well formed or not, to these clients, or to all if none
// are named. It returns how many there were.
func (b *Broker) Send(bytes []byte, clientIDs ...string) int {
	n := b.chosen(clientIDs, func(c *conn) { c.out.put(bytes, 0, goOn) })
	b.faults.countN("send", n)
	return n
}

// Redeliver sends what these clients have not acknowledged again, with DUP,
// though their connections did not end. All if none are named. It returns how
// many messages that were. It must not be called by an observer.
func (b *Broker) Redeliver(clientIDs ...string) (n int) {
	b.chosen(clientIDs, func(c *conn) {
		b.locked(func() {
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
	b.faults.countN("redeliver", n)
	return n
}

// chosen calls f for the connections of the clients.
func (b *Broker) chosen(clientIDs []string, f func(*conn)) (n int) {
	b.each(func(c *conn) {
		if c.isClosed() {
			return // it ends
		}
		if len(clientIDs) == 0 || containsID(clientIDs, c.name.Load()) {
			n++
			f(c)
		}
	})
	return n
}

func containsID(list []string, id *string) bool {
	for _, s := range list {
		if id != nil && *id == s {
			return true
		}
	}
	return false
}
