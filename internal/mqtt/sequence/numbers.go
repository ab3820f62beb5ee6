package sequence

import (
	"crypto/rand"
	"encoding/hex"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// User properties, and extension attributes of CloudEvents, of a message that
// is numbered.
const (
	// Number is the message's, among those of its source on its topic.
	Number = "sequence"
	// Source is the run of a publisher that counted.
	Source = "sequencesource"
)

// maxCounted is how many topics a sequence counts before it begins anew, under
// another name.
const maxCounted = 100_000

// Numbers numbers the messages of each topic from 1, under a name of its own,
// for as long as one run of the publisher lasts. It is safe for concurrent use.
type Numbers struct {
	owner string // part of the name

	mu     sync.Mutex
	source string
	last   map[string]uint64 // by topic
	kept   map[uint64]number // of entries of an outbox, which may be sent again
}

type number struct {
	source string
	n      uint64
}

// NewNumbers returns numbers whose name begins with the client id, which may be "".
func NewNumbers(clientID string) *Numbers {
	q := &Numbers{owner: logsafe.Clip(clientID)}
	q.Reset()
	return q
}

// Rename begins anew under a name that begins with this client id.
func (q *Numbers) Rename(clientID string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.owner = logsafe.Clip(clientID)
	q.begin()
}

// Reset begins anew, at 1 and under another name.
func (q *Numbers) Reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begin()
	q.kept = make(map[uint64]number)
}

func (q *Numbers) begin() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	q.source, q.last = hex.EncodeToString(b[:]), make(map[string]uint64)
	if q.owner != "" {
		q.source = q.owner + "-" + q.source
	}
}

// next returns the number of the next message; an entry that had one keeps it.
func (q *Numbers) next(topic string, entry uint64) number {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n, ok := q.kept[entry]; ok {
		return n
	}
	return number{q.source, q.last[topic] + 1}
}

// take settles that a message has the number: nobody else gets it.
func (q *Numbers) take(topic string, entry uint64, n number) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if entry != 0 {
		q.kept[entry] = n
	}
	if n.source != q.source || n.n <= q.last[topic] {
		return
	}
	if q.last[topic] = n.n; len(q.last) > maxCounted {
		q.begin()
	}
}

// Forget drops the numbers of entries of an outbox that are never sent again.
func (q *Numbers) Forget(entries ...uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		delete(q.kept, e)
	}
}
