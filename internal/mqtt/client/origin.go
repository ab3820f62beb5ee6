package client

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// arrivals records the origins of messages, to tell an origin that has the connection to
// itself from one that delays others. Only the read loop uses it.
type arrivals struct {
	last          uint64
	othersArrived bool      // another origin sent a message since alone was last called
	since         time.Time // when that was last found
}

func (t *arrivals) note(origin uint64) {
	if t.last != origin {
		t.othersArrived = t.othersArrived || t.last != 0
		t.last = origin
	}
}

// alone reports whether no other origin has sent anything for a second.
func (t *arrivals) alone(now time.Time) bool {
	if t.othersArrived {
		t.othersArrived, t.since = false, now
	}
	return now.Sub(t.since) > aloneAfter
}

// aloneAfter is how long no other origin may have sent a message for alone to report true.
const aloneAfter = time.Second

// originOf returns the origin of a message: the part of its topic that access rules guard.
func originOf(d *Delivery) string {
	var l deadletter.Letter
	l.Topic, l.Filter = d.Topic, d.Filter()
	return l.Origin()
}
