package dedup_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

// A sender that invents ids displaces its own ids, and none of others.
func TestMemoryHasSharesOfOrigins(t *testing.T) {
	t.Parallel()
	w, n := window(t, dedup.MemoryOptions{MaxIDs: 1000}), 0
	for i := range 300 {
		once(t, w, fmt.Sprintf("honest-%d/%d", i%30, i), &n)
	}
	for i := range 100_000 {
		once(t, w, fmt.Sprintf("rogue/%d", i), &n)
	}
	for i := range 300 {
		if !once(t, w, fmt.Sprintf("honest-%d/%d", i%30, i), &n) {
			t.Fatalf("id %d is forgotten", i)
		}
	}
	for i := range 700 {
		if !once(t, w, fmt.Sprintf("rogue/%d", 100_000-1-i), &n) {
			t.Fatalf("the last ids of who has most: %d is forgotten", i)
		}
	}
}

// Of many origins with one id each, the one that was not seen for longest gives way.
func TestMemoryOfManyOrigins(t *testing.T) {
	t.Parallel()
	w, n := window(t, dedup.MemoryOptions{MaxIDs: 100}), 0
	for i := range 250 {
		once(t, w, fmt.Sprintf("%d/1", i), &n)
		if i > 0 && !once(t, w, "0/1", &n) {
			t.Fatalf("what is seen all the time is forgotten after %d", i)
		}
	}
	for i := 151; i < 250; i++ {
		if !once(t, w, fmt.Sprintf("%d/1", i), &n) {
			t.Errorf("%d is forgotten", i)
		}
	}
	if n != 250 {
		t.Errorf("%d effects", n)
	}
}

// Expired ids are forgotten first, whichever origin has the most ids.
func TestMemoryForgetsOldOwnersFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, n := window(t, dedup.MemoryOptions{MaxIDs: 100, TTL: time.Hour}), 0
		for i := range 50 {
			once(t, w, fmt.Sprintf("old/%d", i), &n)
		}
		<-time.After(time.Hour)
		for i := range 100 {
			once(t, w, fmt.Sprintf("new/%d", i), &n)
		}
		for i := range 100 {
			if !once(t, w, fmt.Sprintf("new/%d", i), &n) {
				t.Fatalf("%d is forgotten", i)
			}
		}
	})
}
