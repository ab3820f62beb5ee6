package deadletter

import (
	"sync"

	"github.com/google/uuid"
)

// IDs makes the ids of letters: UUIDv7, each above all before it, also when the
// clock goes back. The zero value is ready for use, by many goroutines.
type IDs struct {
	mu   sync.Mutex
	last uuid.UUID
}

// New returns the next id.
func (g *IDs) New() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(id[:]) <= string(g.last[:]) {
		id = next(g.last)
	}
	g.last = id
	return id.String(), nil
}

// After makes the ids that follow larger than this one, as one read back at a
// start. One that is no UUID changes nothing.
func (g *IDs) After(id string) {
	u, err := uuid.Parse(id)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if string(u[:]) > string(g.last[:]) {
		g.last = u
	}
}

// next adds one to the random part, which begins after the variant.
func next(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i > 8; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
