package deadletter

import (
	"sync"

	"github.com/google/uuid"
)

// IDs creates the ids of letters: UUIDv7s in ascending order, even if the clock goes
// backwards. The zero value is ready to use. It is safe for concurrent use.
type IDs struct {
	mu   sync.Mutex
	last uuid.UUID
}

// New returns the next id. It fails only if no random numbers are available.
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

// After makes all following ids larger than id, for example the last one in a store. An id
// that is not a UUID is ignored.
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

// next adds one to the random part, which starts after the variant.
func next(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i > 8; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}
