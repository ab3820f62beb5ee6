package parking

import (
	"strings"
	"testing"
)

// Origins take turns, and one that has all that it may leaves the rest to others.
func TestOriginsTakeTurns(t *testing.T) {
	t.Parallel()
	b := &Backlog{Subscription: Subscription{Shares: true}}
	turns := newTurns(16) // 8 at once, 7 of one origin
	var had []*parkedKey
	for range 10 {
		turns.add(&parkedKey{of: b, origin: "devices/evil"})
	}
	turns.add(&parkedKey{of: b, origin: "devices/good"})
	for k := turns.take(); k != nil; k = turns.take() {
		had = append(had, k)
	}
	if len(had) != 8 || had[1].origin != "devices/good" {
		t.Fatalf("%d turns, the second is of %q", len(had), had[1].origin)
	}
	if k := turns.take(); k != nil {
		t.Errorf("a ninth turn is of %q", k.origin)
	}
	turns.end(had[1])
	if k := turns.take(); k != nil {
		t.Errorf("the turn of others went to %q", k.origin)
	}
	turns.end(had[0])
	if k := turns.take(); k == nil || k.origin != "devices/evil" {
		t.Errorf("a turn that ended went to %v", k)
	}
}

// The name of a long key stays short, is that of no topic, and tells two apart.
func TestNamesOfLongKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxName)
	if got := keyName(long); got != long {
		t.Errorf("%q", got)
	}
	a, b := keyName(long+"a"), keyName(long+"b")
	if a == b || len(a) > maxName || !strings.HasPrefix(a, "#sha256:") {
		t.Errorf("%q, %q", a, b)
	}
}
