package deadletter

import (
	"sync"
	"time"
)

// Claims implements [Claimer] for a store that is open in one process only; claims end with
// the process. The zero value is ready to use. It is safe for concurrent use.
type Claims struct {
	mu    sync.Mutex
	until map[string]time.Time // by id
}

// Take claims a letter for the duration d, unless it is already claimed, and reports whether
// it did.
func (c *Claims) Take(id string, d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.until[id]) {
		return false
	}
	if c.until == nil {
		c.until = make(map[string]time.Time)
	}
	c.until[id] = now.Add(d)
	return true
}

// End ends a claim, if there is one.
func (c *Claims) End(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.until, id)
}
