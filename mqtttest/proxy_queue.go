package mqtttest

import "sync"

// queueBytes limits the bytes that wait in one direction of a link; a single segment may be
// larger.
const queueBytes = 4 << 20

// queue passes segments from one reader to one writer.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []segment
	bytes   int
	closed  bool  // the end of the stream was put
	err     error // how the stream ended
	aborted bool  // the reader has stopped
}

func newQueue() *queue {
	q := new(queue)
	q.changed.L = &q.mu
	return q
}

// put waits for room. It returns false if the reader has stopped.
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

// take waits for segments and returns all of them. An empty result means the end of the
// stream, with its error.
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
