package session

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// everything returns the limits of a broker that announces none.
func everything() limits { return limits{maxQoS: 2, retain: true} }

// Each address that offers no more is tried once, and again after an hour. The
// client does not alternate between addresses that offer the same.
func TestOffersLookAtEachAddressOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &conn{s: &Session{cfg: Config{Addresses: make([]link.Address, 3)}}}
		var f offers
		visit := func(at int, l limits) {
			c.at = at
			f.attached(c, l)
		}
		wants := func(want int) {
			t.Helper()
			if got := f.other(demand{qos: 1, retain: true}); got != want {
				t.Errorf("from address %d on to %d, want %d", f.at, got, want)
			}
		}
		none := limits{maxQoS: 2}
		visit(0, none)
		wants(1)
		visit(1, none)
		wants(2)
		visit(2, none)
		wants(-1)
		visit(0, everything())
		visit(2, none) // the connection was lost, and the client returns to another
		wants(0)
		visit(0, none)
		wants(-1)
		<-time.After(offerAge + time.Second)
		visit(0, none)
		wants(1)
	})
}

// The stay at an address that offers less is short again after a connection
// that lasted longer than any turn: an occasional failover is not alternation.
func TestOffersForgetTurnsLongAgo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &conn{s: &Session{cfg: Config{Addresses: make([]link.Address, 2)}}}
		var f offers
		f.attached(c, everything())
		f.stay = longestStay
		<-time.After(longestStay + leaveTime)
		f.attached(c, everything())
		if f.stay != longestStay {
			t.Errorf("%v after a turn", f.stay)
		}
		<-time.After(3 * longestStay)
		f.attached(c, everything())
		if f.stay != firstStay {
			t.Errorf("%v after a long connection", f.stay)
		}
	})
}

// With a single address, or for a message that no outbox keeps, the connection
// is not left.
func TestLacksOfOneAddress(t *testing.T) {
	t.Parallel()
	for places, kept := range map[int]bool{1: true, 2: false} {
		s := &Session{cfg: Config{Addresses: make([]link.Address, places)}}
		c := &conn{s: s}
		o := &s.out
		o.cur, o.limits = c, limits{maxQoS: 1}
		o.offers.attached(c, o.limits)
		err := o.offers.lacks(o, demand{qos: 2}, "t", kept)
		if err == nil || !err.ByBroker || err.Reason != event.ReasonUnsupported || o.offers.timer != nil {
			t.Errorf("%d addresses: %v, timer %v", places, err, o.offers.timer)
		}
	}
}
