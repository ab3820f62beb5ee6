package client

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// arrivals notes whose messages come, so that one can be told that has the connection to
// itself from one that would hold up others. Used by the read loop only.
type arrivals struct {
	last   uint64
	turned bool      // another came since alone was asked for
	since  time.Time // when it was last found so
}

func (t *arrivals) note(origin uint64) {
	if t.last != origin {
		t.turned = t.turned || t.last != 0
		t.last = origin
	}
}

// alone reports whether nobody but the last one has sent anything for a second.
func (t *arrivals) alone(now time.Time) bool {
	if t.turned {
		t.turned, t.since = false, now
	}
	return now.Sub(t.since) > aloneAfter
}

// aloneAfter is after how long without another's message an origin counts as alone.
const aloneAfter = time.Second

// originOf is whose message it is, by what access rules guard of its topic.
func originOf(d *Delivery) string {
	var l deadletter.Letter
	l.Topic, l.Filter = d.Topic, d.Filter()
	return l.Origin()
}
