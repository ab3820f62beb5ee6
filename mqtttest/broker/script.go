package broker

import (
	"errors"
	"sync"
)

// script is what a broker acts out. The serving core asks it in two places, as a
// packet arrives ([conn.arrived]) and as one is sent ([conn.send]); without faults
// and an observer neither costs anything.
type script struct {
	faults   faults
	frozen   gate
	calls    sync.WaitGroup // of faults
	observer func(Observed) // guarded by the broker's mutex
}

// acted is what a script made of a connection.
type acted struct {
	reading, writing gate // shut while nothing is read or written

	// Guarded by the broker's mutex.
	mute    bool    // the client hears nothing any more
	swallow [2]bool // packets vanish, by direction
}

// faulty treats a packet that a fault hits.
func (c *conn) faulty(p Packet, v *Injected) error {
	switch v.action.kind {
	case drop:
		return nil
	case cutBefore, cutWithin:
		c.reset()
		return errCut
	case cutAfter:
		c.mute = true // the answer does not reach the client
		err := c.handle(p, nil)
		c.reset()
		return errors.Join(err, errCut)
	case end:
		c.goodbye(v.action.code)
		return errCut
	case halfOpen:
		c.hold(true, true)
		return nil
	case stopReading:
		c.hold(true, false)
	case refuse:
		return c.handle(p, v)
	case replay:
		if err := c.handle(p, nil); err != nil {
			return err
		}
		if p.Type() == Publish && p.QoS() > 0 {
			p.First |= 8
		}
	case rewrite:
		return c.handleOthers(v.action.rewrite(p))
	case call:
		c.b.start(v.action.call)
	}
	return c.handle(p, nil)
}

// handleOthers treats the packets that a fault puts in the place of one.
func (c *conn) handleOthers(packets [][]byte) error {
	for _, b := range packets {
		f := frames{buf: b, end: len(b), max: c.in.max}
		for f.start < f.end {
			p, err := f.take()
			if err == nil && p.First == 0 {
				err = malformed("part of a packet")
			}
			if err == nil {
				err = c.handle(p, nil)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// start runs what a fault calls.
func (b *Broker) start(f func(*Broker)) { b.calls.Go(func() { f(b) }) }

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

// thaw lets everything go on that a fault holds, so that it can end.
func (b *Broker) thaw() {
	b.frozen.set(false)
	b.each(func(c *conn) { c.reading.set(false); c.writing.set(false) })
}

// hold shuts reading and writing, or opens both.
func (c *conn) hold(reading, writing bool) {
	c.reading.set(reading)
	c.writing.set(writing)
}
