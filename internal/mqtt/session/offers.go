package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// limits are what the broker of one connection accepts, as announced in
// CONNACK. A message that exceeds them may be accepted at another address of
// the list, or by the same broker with other settings.
type limits struct {
	maxQoS    byte
	retain    bool
	maxPacket int // 0 means no limit
}

// demand is what a message requires of the broker. size is the size of its packet, or 0
// if it is not known yet.
type demand struct {
	qos    byte
	retain bool
	size   int
}

var errTooLarge = errors.New("over the broker's maximum packet size")

// check rejects a message that exceeds a limit the broker announced [MQTT-3.2.2-11],
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

// A message of an outbox that the current broker does not accept waits. If another
// address of the list may accept it, the client changes to that address. Before that,
// the connection lasts for at least firstStay, which doubles each time up to
// longestStay. The client does not change to an address whose limits, seen within
// offerAge, also exclude the message. So each address is tried once if all have the
// same limits, and two addresses that complement each other are used in turns.
const (
	firstStay   = 2 * time.Second
	longestStay = 10 * time.Minute
	offerAge    = time.Hour
	// leaveTime is how long a connection that is left waits for the
	// acknowledgements of messages in flight.
	leaveTime = 2 * time.Second
	leaveLook = 20 * time.Millisecond
)

// errLimits ends a connection in favour of an address that may accept more.
var errLimits = errors.New("messages are waiting that the broker announced not to accept")

// offers records what the addresses of the list accept. The mutex of outbound
// guards it.
type offers struct {
	seen    map[int]offer // by index of the address
	places  int           // number of addresses
	at      int           // index of the current address
	stay    time.Duration // minimum stay at the current address
	since   time.Time     // when it was connected
	timer   *time.Timer   // ends the stay; nil if there is none
	leaving bool          // nothing new is sent on the connection
	next    int           // index of the next address
}

// offer has the limits that an address had when the client was last connected to it.
type offer struct {
	limits
	at time.Time
}

// attached records the limits of the broker of a new connection.
func (f *offers) attached(c *conn, l limits) {
	if f.places = len(c.s.cfg.Addresses); f.places < 2 {
		return
	}
	if f.seen == nil {
		f.seen, f.stay = make(map[int]offer), firstStay
	}
	f.stop()
	now := time.Now()
	if !f.since.IsZero() && now.Sub(f.since) > 2*longestStay { // the addresses are not used in turns
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

// other returns the index of an address that may accept a message that the current one
// does not, or -1.
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

// lacks returns an error if the current broker announced not to accept the message, or
// nil. For a message of an outbox it also looks for an address that may accept it.
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

// depart leaves the connection for another address when nothing is in flight
// any more, or at the time until.
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
