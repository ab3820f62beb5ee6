package session

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestID(t *testing.T) {
	t.Parallel()
	before := time.Now().Add(-time.Millisecond)
	seen := make(map[ID]bool)
	for range 1000 {
		id := NewID()
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
		u, err := uuid.Parse(id.String())
		if err != nil || u != uuid.UUID(id) || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%s: %v, version %d, variant %v", id, err, u.Version(), u.Variant())
		}
		sec, nsec := u.Time().UnixTime()
		if at := time.Unix(sec, nsec); at.Before(before) || at.After(time.Now().Add(time.Millisecond)) {
			t.Fatalf("%s is of %v", id, at)
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = NewID()
	}
}
