package session

import (
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A connection that carries a suspect alone is a trial: the broker may end it, or
// the network may. What tells the two apart:
//
//   - Before the suspect goes, a PINGREQ is answered. A link that is cut anyhow is
//     cut in that time as well, and then nobody was on trial.
//   - A broker that refuses ends the connection in order, and at once. A reset, or
//     an end that comes late, weighs half.
//   - Each recent loss that no packet of ours is to blame for makes it likely that
//     the next one is such a loss, too, so that more of them are needed.
//
// A reason code of the broker leaves no doubt about the network.

// The weight of an end with one suspect alone, and what convicts.
const (
	weightOfEnd    = 1  // reset, or late
	weightInOrder  = 2  // in order and at once
	enoughWeight   = 6  // three ends in order, or six others
	weightOfCut    = 2  // more for each recent loss without a culprit
	mostWeight     = 20 // what convicts on the worst of links
	losingWithCode = 1  // ends with a reason code
	amongOthers    = 4  // times as much convicts a topic whose messages were not alone
)

// cutsCount is for how long a loss without a culprit counts.
const cutsCount = time.Minute

// A broker that refuses has answered promptly when the end came within some round
// trips of the link and a moment.
const (
	promptRoundTrips = 4
	promptMoment     = 100 * time.Millisecond
)

// weight is that of an end as evidence against a suspect that was alone.
func (e *evidence) weight() uint8 {
	if closedInOrder(e.err) && !e.late {
		return weightInOrder
	}
	return weightOfEnd
}

// unrest is how often connections were lost lately with no packet of ours to
// blame: nothing was on its way, or all that was has been acknowledged since. Safe
// for concurrent use; no other lock is taken while it is held.
type unrest struct {
	mu    sync.Mutex
	cuts  []time.Time // oldest first, no more than count
	inRow int         // searches in a row that found nobody, each begun by a loss soon after CONNACK

	rash bool // see Config; does not change
}

// maxCuts is how many losses count.
const maxCuts = (mostWeight - enoughWeight) / weightOfCut

// cut notes n losses without a culprit.
func (u *unrest) cut(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range min(n, maxCuts) {
		if len(u.cuts) == maxCuts {
			u.cuts = append(u.cuts[:0], u.cuts[1:]...)
		}
		u.cuts = append(u.cuts, time.Now())
	}
}

// enough reports whether a suspect is convicted that was alone so often, and whose
// ends weigh so much.
func (u *unrest) enough(alone, weight uint8, l *event.LossError) bool {
	if l.Code != 0 {
		return alone >= losingWithCode
	}
	return int(weight) >= u.wanted()
}

// wanted is the weight that convicts without a reason code.
func (u *unrest) wanted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	wanted := enoughWeight
	if u.rash {
		wanted = weightOfEnd
	}
	for _, at := range u.cuts {
		if time.Since(at) < cutsCount {
			wanted += weightOfCut
		}
	}
	return wanted
}

// cleared notes a search that found nobody.
func (u *unrest) cleared() {
	u.mu.Lock()
	u.inRow++
	u.mu.Unlock()
}

// clearedInRow is how many there were in a row.
func (u *unrest) clearedInRow() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inRow
}

// otherwise ends the row: this loss has another reason.
func (u *unrest) otherwise() {
	u.mu.Lock()
	u.inRow = 0
	u.mu.Unlock()
}

// search is the search for the message that ends connections, from the loss that
// made suspects until none is left. The mutex of outbound is held.
type search struct {
	losses int  // of connections
	found  bool // somebody was convicted
	soon   bool // the last of the losses came soon after CONNACK
	weight uint8
	loss   *event.LossError // the last one, and its weight
}

// lost notes a loss with suspects; first begins another search.
func (s *search) lost(first bool, l *event.LossError, e *evidence) {
	if first {
		*s = search{}
	}
	s.losses++
	s.loss, s.weight = l, e.weight()
	s.soon = e.isSoon() && e.sent == ""
}

// acquit is told of a message that was acknowledged: its kind is taken. It ended
// none of the connections that it was alone on; and when it is the last of the
// suspects and none was convicted, nobody ended any.
func (o *outbound) acquit(sl *slot) {
	o.kinds.taken(sl)
	if !sl.suspect {
		return
	}
	innocent := int(sl.alone)
	if o.suspects == 1 && !o.search.found {
		innocent = max(innocent, o.search.losses)
		if o.search.soon {
			o.unrest.cleared()
		}
	}
	o.search.losses -= min(innocent, o.search.losses)
	o.unrest.cut(innocent)
}

// prove holds everything back until the link has carried something. The mutex of
// outbound is held.
func (o *outbound) prove(c *conn) {
	o.proving = true
	asked := time.Now()
	c.link.Ping(func() { o.proved(c, asked) })
}

// proved lets the first suspect go. It is called by the read loop.
func (o *outbound) proved(c *conn, asked time.Time) {
	o.mu.Lock()
	if o.cur == c && o.proving {
		o.proving, c.roundTrip = false, time.Since(asked)
		c.patience.Reset(c.trialTime()) // the suspect's own time
		o.pump()
		o.wake()
	}
	o.mu.Unlock()
	c.link.Wake()
}

// trialTime is how long a connection may go on with few messages in flight, which
// is more where the answer takes longer. The mutex of outbound is held.
func (c *conn) trialTime() time.Duration {
	return min(probeTime+promptRoundTrips*c.roundTrip, longestTrial)
}

// isLate reports whether a connection ended later than the answer to the message
// that it carried alone should have come. The mutex of outbound is held.
func (c *conn) isLate() bool {
	return !c.alone.IsZero() && time.Since(c.alone) > promptRoundTrips*c.roundTrip+promptMoment
}
