package session

// Small payloads that arrive one after the other share memory: an allocation each
// costs as much as the rest of the way. A chunk is small, so that one message that
// is held for long keeps little of the others.
const (
	chunkSize  = 4 << 10
	maxInChunk = 512
)

// chunk is the memory that payloads are copied to as they arrive. What it gave
// away is never written again.
type chunk struct{ free []byte }

// copy returns a copy of a payload that is still part of a frame.
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

// Own gives the payload memory of its own, for a message that is kept for long,
// before anybody else has it.
func (m *Inbound) Own() {
	if n := len(m.Payload); n <= maxInChunk {
		m.Payload = append(make([]byte, 0, n), m.Payload...)
	}
}
