package session

// Small payloads that arrive in succession share memory, because an allocation
// for each would cost as much as the rest of their processing. A chunk is
// small, so that a message that is kept for long keeps little memory of others.
const (
	chunkSize  = 4 << 10
	maxInChunk = 512
)

// chunk is memory that received payloads are copied to. Memory that it has
// returned is never written again.
type chunk struct{ free []byte }

// copy returns a copy of a payload that is part of a frame.
func (c *chunk) copy(payload []byte) []byte {
	n := len(payload)
	if n > maxInChunk {
		return append(make([]byte, 0, n), payload...)
	}
	if len(c.free) < n {
		c.free = make([]byte, chunkSize)
	}
	own := c.free[:n:n]
	c.free = c.free[n:]
	copy(own, payload)
	return own
}
