package broker

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// script applies the faults. The core calls it in three places: when a client connects
// ([conn.first]), when a packet arrives ([conn.arrived]) and when one is sent
// ([conn.send]). Without faults and an observer it costs nothing.
type script struct {
	faults   faults
	frozen   gate
	calls    sync.WaitGroup // of faults
	run      func(func(*Broker))
	observer func(Observed) // guarded by the core's mutex
}

// init prepares a script; run calls a function with the broker.
func (s *script) init(o scriptOptions, run func(func(*Broker))) {
	s.faults.init(o.seed)
	for _, f := range o.faults {
		s.faults.add(f)
	}
	s.run = run
}

var errCut = errors.New("cut by a fault")

// acted is what faults have done to a connection. The core's mutex guards it.
type acted struct {
	mute    bool    // nothing is sent to the client
	swallow [2]bool // packets are discarded, by direction
}

// scriptOptions are the options of a script.
type scriptOptions struct {
	seed   uint64
	faults []Fault
}

func (o *scriptOptions) validate() error {
	var errs []error
	for i, f := range o.faults {
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("fault %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// WithSeed makes random decisions repeatable. Default: 0.
func WithSeed(seed uint64) Option { return func(o *options) { o.script.seed = seed } }

// WithFaults injects faults before the first client can connect.
func WithFaults(faults ...Fault) Option {
	return func(o *options) { o.script.faults = append(o.script.faults, faults...) }
}

// idle reports whether there are no faults and no observer.
func (s *script) idle() bool { return s.observer == nil && !s.faults.some.Load() }

// decide returns the fault that hits a packet of a client, or nil. If the fault is a delay,
// it waits.
func (s *script) decide(c *conn, p Packet) (*Injected, error) {
	v := s.faults.decide(ToBroker, c, p)
	if v != nil && v.action.kind == delay && !c.sleep(time.Until(c.arrival.Add(v.action.delay))) {
		return nil, errDead
	}
	return v, nil
}

// welcome handles a well-formed CONNECT that a fault hits.
func (s *script) welcome(c *conn, m *connect, assigned string, v *Injected) error {
	switch v.action.kind {
	case refuse:
		c.connect = m
		c.refuseConnect(v.action.code)
		return errDead
	case drop:
		c.connect, c.acted.swallow = m, [2]bool{true, true} // the client never receives a CONNACK
		return nil
	case cutBefore, cutWithin:
		c.reset()
		return errCut
	case cutAfter:
		c.acted.mute = true
		_ = c.welcome(m, assigned) // cut in any case
		c.reset()
		return errCut
	case halfOpen:
		c.connect = m
		c.hold(true, true)
		c.acted.swallow = [2]bool{true, true}
		return nil
	case stopReading:
		c.hold(true, false)
	case call:
		s.start(v.action.call)
	}
	return c.welcome(m, assigned)
}

// receive handles a packet of a client that a fault hits.
func (s *script) receive(c *conn, p Packet, v *Injected) error {
	switch v.action.kind {
	case drop:
		return nil
	case cutBefore, cutWithin:
		c.reset()
		return errCut
	case cutAfter:
		c.acted.mute = true // the response is not sent
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
		return handleOthers(c, v.action.rewrite(p))
	case call:
		s.start(v.action.call)
	}
	return c.handle(p, nil)
}

// handleOthers handles the packets that a fault puts in place of another.
func handleOthers(c *conn, packets [][]byte) error {
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

// send sends a packet as far as the faults allow it.
func (s *script) send(c *conn, b []byte) {
	p := packetOf(b)
	v := s.faults.decide(ToClient, c, p)
	s.observe(ToClient, c, p, v)
	switch {
	case c.acted.swallow[ToClient]:
	case v == nil:
		c.out.put(b, 0, goOn)
	default:
		s.sendFaulty(c, b, p, v.action)
	}
}

// sendFaulty sends a packet that a fault hits.
func (s *script) sendFaulty(c *conn, b []byte, p Packet, a Action) {
	switch a.kind {
	case drop:
		return
	case cutBefore:
		cutOff(c, nil)
		return
	case cutWithin:
		cutOff(c, b[:len(b)/2])
		return
	case cutAfter:
		cutOff(c, b)
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
		s.start(a.call)
	}
	c.out.put(b, a.delay, goOn)
}

// cutOff ends the connection after some last bytes, and reads nothing more.
func cutOff(c *conn, last []byte) {
	c.acted.mute = true
	c.acted.swallow[ToBroker] = true
	c.out.put(last, 0, goOn)
	c.fin()
}

// start runs a function of a fault.
func (s *script) start(f func(*Broker)) { s.calls.Go(func() { s.run(f) }) }

// packetOf returns the packet at the start of b.
func packetOf(b []byte) Packet {
	f := frames{buf: b, end: len(b), max: len(b)}
	p, _ := f.take()
	return p
}

// observe counts a packet and passes it to the observer. The core's mutex is held.
func (s *script) observe(d Direction, c *conn, p Packet, v *Injected) {
	c.core.counts.packets[d][p.First>>4]++
	if s.observer == nil {
		return
	}
	o := Observed{Packet: p, Direction: d, ClientID: c.clientID, Version: c.version, Connection: c.number}
	if v != nil {
		o.Fault = v.action.name(p.Type())
	} else if c.acted.swallow[d] {
		o.Fault = drop.String()
	}
	s.observer(o)
}
