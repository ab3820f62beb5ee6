package request

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestResponseTopicsAreBounded(t *testing.T) {
	t.Parallel()
	l := Limits{Levels: 3, Length: 7}.Resolved()
	for topic, want := range map[string]bool{"a/b/c": true, "a/b/c/d": false, "a/b/c/": false, "äöüäöüä": true, "aaaaaaaa": false, "": true} {
		if err := l.check(topic); (err == nil) != want {
			t.Errorf("%q: %v", topic, err)
		}
	}
	l = Limits{}.Resolved()
	if err := l.check("reply/A" + strings.Repeat("/x", 14)); err != nil {
		t.Error(err)
	}
	if l.check("reply/A"+strings.Repeat("/x", 205)) == nil {
		t.Error("207 levels are allowed")
	}
}

// One requester has its share and no more, and takes none of another's.
func TestRequestersHaveTheirShare(t *testing.T) {
	t.Parallel()
	var r requesters
	l := Limits{PerMinute: 60, BytesPerMinute: 6000}.Resolved()
	a, b, now := r.key("a"), r.key("b"), time.Now()
	admitted := func(key uint64, n, size int) (ok int) {
		for range n {
			if r.admit(key, size, &l, now) == nil {
				ok++
			}
		}
		return ok
	}
	if n := admitted(a, 100, 1); n != 60 {
		t.Errorf("%d replies at once, want 60", n)
	}
	if n := admitted(b, 10, 3000); n != 2 {
		t.Errorf("%d replies of 3000 bytes at once, want 2", n)
	}
	now = now.Add(10 * time.Second)
	if n := admitted(a, 100, 1); n != 10 {
		t.Errorf("%d replies after 10 s, want 10", n)
	}
	if n := admitted(b, 10, 10_000); n != 1 { // goes, and is owed
		t.Errorf("%d large replies, want 1", n)
	}
	now = now.Add(time.Minute)
	if n := admitted(b, 10, 1); n != 0 {
		t.Errorf("%d replies on credit", n)
	}
	if n := admitted(r.key("c"), 10, 1); n != 10 {
		t.Errorf("another requester got %d of 10", n)
	}
}

// A requester that asks for more than its share takes nothing from the others of its
// origin, as the devices of a tenant are; many topics that somebody makes up have the
// share of their origin, and nobody is forgotten for those beyond it.
func TestRequesterTakesNothingFromItsOrigin(t *testing.T) {
	t.Parallel()
	var r requesters
	l := Limits{PerMinute: 10, Requesters: 100}.Resolved()
	origin, flood, honest, now := r.key("", "tenants/1"), r.key("flood"), r.key("honest"), time.Now()
	for n := range 1000 {
		if err := r.admitOf(flood, origin, 1, &l, now); (err == nil) != (n < 10) {
			t.Fatalf("reply %d to a flood: %v", n, err)
		}
	}
	for n := range 10 {
		if err := r.admitOf(honest, origin, 1, &l, now); err != nil {
			t.Fatalf("reply %d to another device: %v", n, err)
		}
	}
	ok := 0
	for n := range 1000 {
		if r.admitOf(r.key(fmt.Sprint(n)), origin, 1, &l, now) == nil {
			ok++
		}
	}
	if ok != 20 || len(r.known) > 25 {
		t.Errorf("%d replies to topics made up, want 20; %d are remembered", ok, len(r.known))
	}
}

func TestRequestersAreBarredLongerEachTime(t *testing.T) {
	t.Parallel()
	var r requesters
	l, now := Limits{}.Resolved(), time.Now()
	key := r.key("a")
	for _, seconds := range []int{15, 60, 240, 960, 3600, 3600} {
		want := time.Duration(seconds) * time.Second
		if bar := r.barred(key, &l, now); bar != want {
			t.Errorf("barred for %v, want %v", bar, want)
		}
		if err := r.admit(key, 1, &l, now.Add(want-1)); err == nil {
			t.Error("admitted while barred")
		}
		now = now.Add(want)
		if err := r.admit(key, 1, &l, now); err != nil {
			t.Error(err)
		}
	}
	if bar := r.barred(key, &l, now.Add(time.Hour+1)); bar != firstBar {
		t.Errorf("barred for %v after an hour", bar)
	}
}

// However many there are, few are remembered, and a bar outlives a crowd of
// others.
func TestRequestersAreBounded(t *testing.T) {
	t.Parallel()
	var r requesters
	l, now := Limits{Requesters: 100}.Resolved(), time.Now()
	barred := r.key("barred")
	r.barred(barred, &l, now)
	for i := range 10_000 {
		if err := r.admit(r.key(fmt.Sprint(i)), 1, &l, now); err != nil {
			t.Fatal(err)
		}
	}
	n, linked := len(r.known), r.used.Len()
	if n > 100 || n != linked {
		t.Errorf("%d and %d requesters are remembered, want at most 100", n, linked)
	}
	if r.admit(barred, 1, &l, now) == nil {
		t.Error("the bar was forgotten")
	}
}
