package session

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A link that is cut repeatedly convicts no message, whenever the cuts happen: a
// message that is acknowledged in the end did not cause them.
func TestCutLinkConvictsNobody(t *testing.T) {
	t.Parallel()
	const most = enoughWeight/weightOfEnd - 1 // one more in a row would convict
	s := direct(t, windowOf(64))
	v := newSupervisor(s)
	var o outcomes
	c, _ := attached(t, s, true)
	for range 50 {
		for range 3 {
			async(t, s, 1, "", &o)
		}
		for range 1 + rand.N(most+1) { // the first message is alone on every connection except the first
			cut(c)
			v.verdict(v.s.cfg.Addresses[0], c)
			c, _ = attached(t, s, true)
		}
		for len(ids(s)) > 0 {
			feed(t, c, puback(ids(s)[0]))
		}
	}
	for _, err := range o.wait(t, 150) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The weight that convicts on a quiet link, and how each recent unexplained
// loss increases it up to a limit.
func TestHowManyEndsConvict(t *testing.T) {
	t.Parallel()
	ends := func(rash bool, before int, how func(*conn)) (n int) {
		s := direct(t, func(c *Config) { c.Rash = rash })
		v := newSupervisor(s)
		for range before { // with nothing in flight
			c, _ := attached(t, s, true)
			cut(c)
			v.verdict(v.s.cfg.Addresses[0], c)
		}
		var o outcomes
		c, _ := attached(t, s, true)
		async(t, s, 1, "", &o)
		for len(o.all()) == 0 && n < 50 {
			how(c)
			v.verdict(v.s.cfg.Addresses[0], c)
			if len(ids(s)) == 0 {
				o.wait(t, 1)
			}
			c, _ = attached(t, s, true)
			n++
		}
		return n
	}
	inOrder := func(c *conn) { c.Closed(io.EOF) }
	late := func(c *conn) {
		c.alone = time.Now().Add(-time.Second)
		c.Closed(io.EOF)
	}
	for _, tt := range []struct {
		name   string
		before int
		how    func(*conn)
		want   int
		rash   int
	}{
		{"in order", 0, inOrder, 1 + 3, 1 + 1},
		{"reset", 0, cut, 1 + 6, 1 + 1},
		{"late", 0, late, 1 + 6, 1 + 1},
		{"in order, after two cuts", 2, inOrder, 1 + 5, 1 + 3},
		{"reset, after two cuts", 2, cut, 1 + 10, 1 + 5},
		{"in order, after many", 40, inOrder, 1 + 10, 1 + 8},
		{"reset, after many", 40, cut, 1 + 20, 1 + 15},
	} {
		if n := ends(false, tt.before, tt.how); n != tt.want {
			t.Errorf("%s: convicted by %d ends, want %d", tt.name, n, tt.want)
		}
		if n := ends(true, tt.before, tt.how); n != tt.rash {
			t.Errorf("%s, rash: convicted by %d ends, want %d", tt.name, n, tt.rash)
		}
	}
}

// A link that ends before it has been shown to work makes no suspects.
func TestNobodyIsOnTrialBeforeTheLinkIsProven(t *testing.T) {
	t.Parallel()
	s := direct(t)
	v := newSupervisor(s)
	var o outcomes
	c, _ := attached(t, s, true)
	async(t, s, 1, "", &o)
	for range 30 {
		if l := closes(t, v, c); l.Kind == event.LossTakenOver {
			v.short = 0
		}
		c, _ = linked(t, s)
		accept(t, c, true)
	}
	s.out.proved(c, time.Now())
	feed(t, c, puback(ids(s)[0]))
	if err := o.wait(t, 1)[0]; err != nil {
		t.Error(err)
	}
}

// Losses older than a minute do not count.
func TestOldCutsCountNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var u unrest
		u.cut(100)
		l := new(event.LossError)
		if u.enough(9, mostWeight-1, l) || !u.enough(10, mostWeight, l) {
			t.Error("the bound is another")
		}
		<-time.After(cutsCount)
		if u.enough(2, enoughWeight-1, l) || !u.enough(3, enoughWeight, l) {
			t.Error("still counted")
		}
	})
}

// Losses soon after CONNACK whose suspects are all acknowledged soon afterwards
// point to another client with the same client id or, if they are resets, to
// the network.
func TestClearedAgainAndAgainIsAnotherClient(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		how   func(*conn)
		cause event.LossKind
	}{
		"in order": {func(c *conn) { c.Closed(io.EOF) }, event.LossTakenOver},
		"reset":    {cut, event.LossNetwork},
	} {
		s := direct(t)
		v := newSupervisor(s)
		var o outcomes
		for n := range takeoverLosses + 1 {
			c, _ := attached(t, s, true)
			for len(ids(s)) > 0 {
				feed(t, c, puback(ids(s)[0]))
			}
			async(t, s, 1, fmt.Sprint(n), &o)
			async(t, s, 1, fmt.Sprint(n), &o)
			tt.how(c)
			l := v.verdict(v.s.cfg.Addresses[0], c)
			if last := n == takeoverLosses; last != l.Contested || last && l.Kind != tt.cause {
				t.Errorf("%s: loss %d: %v", name, n, l)
			}
		}
		for _, err := range o.all() {
			if err != nil {
				t.Error(err)
			}
		}
	}
}
