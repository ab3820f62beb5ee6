package session

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

// barrenLosses is how many short connections in a row may acknowledge nothing
// before the message first in flight is given up: some brokers answer what
// they refuse by ending the connection, and would do so for ever.
const barrenLosses = 5

var errBarren = errors.New("the broker ended every connection without an acknowledgement of it")

// attach makes c the connection that carries the window, called inside Read
// when its CONNACK passes and before anything else can arrive.
func (o *outbound) attach(c *conn) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.over.Load() {
		return 0
	}
	c.since = time.Now()
	a := &c.connack
	o.cur, o.version, o.blocked = c, c.version, false
	o.aliasCap = c.s.cfg.TopicAliases
	if o.qos2Cap = c.s.cfg.QoS2Window; c.version != wire.V311 {
		o.qos2Cap = o.win.size // the broker says what it takes
	}
	if o.barren >= barrenLosses && o.win.head != none {
		o.barren = 0
		o.finish(o.win.head, &Error{Op: opPublish, Reason: ReasonRefused, MayHaveBeenSent: true, Cause: errBarren})
	}
	if !a.SessionPresent {
		lost = o.forget()
	}
	o.win.rewind()
	o.quota = int(a.ReceiveMaximum)
	o.aliases.reset(min(o.aliasCap, int(a.TopicAliasMaximum)), int(a.MaximumPacketSize))
	o.limits = limits{maxQoS: a.MaximumQoS, retain: a.RetainAvailable, maxPacket: int(a.MaximumPacketSize)}
	o.pump()
	o.wake()
	return lost
}

// forget ends or restarts every exchange that a lost session cut short: QoS 1
// is published again as a new message, QoS 2 cannot be without risking a
// second delivery.
func (o *outbound) forget() (lost int) {
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		switch {
		case sl.left:
			o.end(i)
		case sl.state == slotQueued:
		case sl.qos == 1:
			o.win.republish(i)
		default:
			lost++
			o.finish(i, &Error{Op: opPublish, Reason: ReasonSessionLost, MayHaveBeenSent: true})
		}
		i = next
	}
	return lost
}

// finish ends an exchange whose outcome is told after the lock.
func (o *outbound) finish(i int32, err error) {
	o.finished = append(o.finished, finish{o.end(i), err})
}

// detach is called once for the connection that ended.
func (o *outbound) detach(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.over.Store(true)
	if o.cur == c {
		o.cur = nil
	}
	if !c.since.IsZero() {
		c.life = time.Since(c.since)
		o.judge(c)
	}
	o.wake()
}

// judge counts connections that were no use to the message first in flight.
func (o *outbound) judge(c *conn) {
	if h := o.win.head; h == none || !o.win.slots[h].charged || c.progress || c.life >= takeoverWindow {
		o.barren = 0
		return
	}
	o.barren++
}
