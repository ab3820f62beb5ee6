package session

import (
	"errors"
	"iter"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// itinerary decides which address of the list a session connects to next. It
// belongs to the supervisor. An address that the broker names would be one more
// stop of it.
type itinerary struct {
	addresses []link.Address
	next      int  // index of the address to try first
	placed    bool // there has been a connection
	useless   int  // consecutive useless connections
	brief     int  // consecutive connections that ended soon, useful or not
}

// attempt returns each address once, with its index. It starts with the address that
// was connected last, because the session is there. Before the first connection it
// starts with the address that is useful to other sessions.
func (t *itinerary) attempt(useful int) iter.Seq2[int, link.Address] {
	if !t.placed {
		t.next = useful
	}
	first, n := t.next, len(t.addresses)
	return func(yield func(int, link.Address) bool) {
		for i := range n {
			if at := (first + i) % n; !yield(at, t.addresses[at]) {
				return
			}
		}
	}
}

// arrived records the address of a connection.
func (t *itinerary) arrived(at int) { t.next, t.placed = at, true }

// mostBrief is how many consecutive connections may end soon before another
// address is tried.
const mostBrief = 5

// left handles the end of a connection. It changes to the next address of the list if
// this one accepts connections that are useless. It does so after two in a row, because
// a single connection may be cut by chance. It does so immediately if the broker names
// another server, or if it refuses or does not answer a filter, because another address
// may work. An address whose connections never last is also left eventually, even if
// they are useful: it may grant nothing and send a message each time.
func (t *itinerary) left(c *conn, l *event.LossError) {
	e := &c.evidence
	if t.brief++; e.life >= takeoverWindow {
		t.brief = 0
	}
	switch {
	case l.Kind == event.LossMoved:
		t.next++
	case l.Kind == event.LossLimits:
		t.next = c.parting.Load().next
	case l.Kind == event.LossTakenOver: // it would happen at every address
	case c.useful.Load() || e.life >= takeoverWindow && !isTimeout(e.err):
		if t.useless = 0; t.brief >= mostBrief {
			t.next++
			t.brief = 0
		}
	default:
		if t.useless++; t.useless > 1 || l.Kind == event.LossSubscribe || errors.Is(e.err, errNoSuback) {
			t.next++
		}
	}
}
