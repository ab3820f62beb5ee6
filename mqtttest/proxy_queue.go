package mqtttest

import "sync"

// queueBytes bounds what waits in one direction of a link; one segment may be
// larger.
const queueBytes = 4 << 20

// queue passes segments from one reader to one writer.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []segment
	bytes   int
	closed  bool  // nothing more comes
	err     error // how the stream ended
	aborted bool  // nobody takes any more
}

func newQueue() *queue {
	q := new(queue)
	q.changed.L = &q.mu
	return q
}

// put waits for room and returns false when nobody takes any more.
func (q *queue) put(s segment) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes > 0 && q.bytes+len(s.bytes) > queueBytes && !q.aborted {
		q.changed.Wait()
	}
	if q.aborted {
		return false
	}
	q.waiting = append(q.waiting, s)
	q.bytes += len(s.bytes)
	q.changed.Broadcast()
	return true
}

// take waits for segments and returns all of them. None means the end of the
// stream, with the error it ended with.
func (q *queue) take() ([]segment, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && !q.closed {
		q.changed.Wait()
	}
	batch := q.waiting
	q.waiting, q.bytes = nil, 0
	q.changed.Broadcast()
	return batch, q.err
}

func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.err = true, err
	q.changed.Broadcast()
}

func (q *queue) abort() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.aborted, q.waiting = true, nil
	q.changed.Broadcast()
}
