package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// limits are what the broker of one connection takes, from CONNACK. They say
// nothing about a message: another address of the list may take it, or the same
// broker with other settings.
type limits struct {
	maxQoS    byte
	retain    bool
	maxPacket int // 0 is none
}

// demand is what a message wants of the broker; size is that of its packet, 0 when
// it is not known yet.
type demand struct {
	qos    byte
	retain bool
	size   int
}

var errTooLarge = errors.New("over the broker's maximum packet size")

// check refuses what the broker said it cannot take [MQTT-3.2.2-11],
// [MQTT-3.2.2-14], [MQTT-3.2.2-15].
func (l *limits) check(d demand) (event.Reason, error) {
	switch {
	case d.qos > l.maxQoS:
		return event.ReasonUnsupported, fmt.Errorf("the broker takes QoS %d at most", l.maxQoS)
	case d.retain && !l.retain:
		return event.ReasonUnsupported, errors.New("the broker keeps no retained messages")
	case l.maxPacket > 0 && d.size > l.maxPacket:
		return event.ReasonTooLarge, fmt.Errorf("packet of %d bytes, limit %d: %w", d.size, l.maxPacket, errTooLarge)
	}
	return "", nil
}

// A message of an outbox that this broker does not take waits there. Where
// another address of the list may take it, the connection is left for that one: once
// it has lived for firstStay, which doubles each time up to longestStay, and unless
// that address was seen within offerAge to take no more. So addresses that offer the
// same are each looked at once, and two that complement each other take turns.
const (
	firstStay   = 2 * time.Second
	longestStay = 10 * time.Minute
	offerAge    = time.Hour
	// leaveTime bounds how long a connection that is left waits for the
	// acknowledgements of what is on its way.
	leaveTime = 2 * time.Second
	leaveLook = 20 * time.Millisecond
)

// errLimits ends a connection that is left for an address that may take more.
var errLimits = errors.New("messages wait that the broker does not take, as it announced")

// offers are what the addresses of the list were seen to take. The mutex of
// outbound guards them.
type offers struct {
	seen    map[int]offer // by place in the list
	places  int           // in the list
	at      int           // the present one
	stay    time.Duration // before the present one is left
	since   time.Time     // when it was connected
	timer   *time.Timer   // to that; nil without
	leaving bool          // nothing new is sent on it
	next    int           // where to
}

// offer is what an address was last seen to take.
type offer struct {
	limits
	at time.Time
}

// attached notes what the broker of a new connection takes.
func (f *offers) attached(c *conn, l limits) {
	if f.places = len(c.s.cfg.Addresses); f.places < 2 {
		return
	}
	if f.seen == nil {
		f.seen, f.stay = make(map[int]offer), firstStay
	}
	f.stop()
	now := time.Now()
	if !f.since.IsZero() && now.Sub(f.since) > 2*longestStay { // they do not take turns
		f.stay = firstStay
	}
	f.since = now
	f.at, f.seen[c.at] = c.at, offer{l, now}
}

func (f *offers) stop() {
	if f.timer != nil {
		f.timer.Stop()
	}
	f.timer, f.leaving = nil, false
}

// other is an address that may take what the present one does not, or -1.
func (f *offers) other(d demand) int {
	for i := 1; i < f.places; i++ {
		at := (f.at + i) % f.places
		o, known := f.seen[at]
		if !known || time.Since(o.at) > offerAge {
			return at
		}
		if _, err := o.check(d); err == nil {
			return at
		}
	}
	return -1
}

// lacks returns the error of a message that the present broker announced not to
// take, or nil. When an outbox keeps it, an address is looked for that may.
func (f *offers) lacks(o *outbound, d demand, topic string, kept bool) *event.Error {
	reason, err := o.limits.check(d)
	if err == nil {
		return nil
	}
	if kept && f.places > 1 && f.timer == nil && o.cur != nil {
		if next := f.other(d); next >= 0 {
			c := o.cur
			f.next = next
			f.timer = time.AfterFunc(f.stay, func() { f.depart(o, c, time.Now().Add(leaveTime)) })
		}
	}
	return &event.Error{Op: opPublish, Topic: topic, Reason: reason, ByBroker: true, Cause: err}
}

// depart leaves the connection for another address, once nothing is on its way
// any more or that takes too long.
func (f *offers) depart(o *outbound, c *conn, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cur != c || o.closed != nil {
		return
	}
	if f.leaving = true; o.inFlight().n > 0 && time.Now().Before(until) {
		f.timer = time.AfterFunc(leaveLook, func() { f.depart(o, c, until) })
		return
	}
	f.stay = min(2*f.stay, longestStay)
	c.part(&parting{err: errLimits, next: f.next})
}
