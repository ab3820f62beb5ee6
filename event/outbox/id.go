package outbox

import (
	"encoding/binary"
	"io"
	"math/rand/v2"

	"github.com/google/uuid"
)

// NewID returns a new id for an [Entry] or any other message: a UUIDv7 in text form. Ids
// created by one process sort in the order of their creation. It is safe for concurrent use
// and makes no system call.
func NewID() string {
	id, err := uuid.NewV7FromReader(random{})
	if err != nil { // random never fails
		return ""
	}
	return id.String()
}

// random reads from the generator of math/rand/v2, a ChaCha8 generator seeded by the runtime:
// it is fast, and good enough for unique values that are not secret.
type random struct{}

var _ io.Reader = random{}

func (random) Read(p []byte) (int, error) {
	n := len(p)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, rand.Uint64())
		p = p[8:]
	}
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return n, nil
}
