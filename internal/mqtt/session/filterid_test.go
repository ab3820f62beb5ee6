package session

import (
	"fmt"
	"testing"
)

// The ids must never change: sessions at brokers outlive our releases.
func TestFilterIDIsStable(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]uint32{
		"a":                  67905851,
		"devices/+/data":     187469761,
		"$share/g/devices/#": 11227715,
	} {
		if got := FilterID(filter); got != want {
			t.Errorf("id of %q is %d, want %d", filter, got, want)
		}
	}
}

func TestFilterIDIsInRange(t *testing.T) {
	t.Parallel()
	seen := make(map[uint32]bool)
	const n = 100_000
	for i := range n {
		id := FilterID(fmt.Sprintf("devices/%d/data", i))
		if id < 1 || id > maxFilterID {
			t.Fatalf("id %d", id)
		}
		seen[id] = true
	}
	if len(seen) < n-100 { // about 19 collisions are expected
		t.Fatalf("%d ids for %d filters", len(seen), n)
	}
}
