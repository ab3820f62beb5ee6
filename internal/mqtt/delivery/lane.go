package delivery

import "time"

// Lane is a group of items with its own concurrency limit, usually one
// subscription. Lanes with work take turns, so that a busy subscription does
// not starve the others. Made by [Scheduler.NewLane].
type Lane struct {
	scheduler *Scheduler
	limit     int

	// Guarded by the scheduler's mutex.
	keys    map[uint64]*keyQueue // keys with work, except key 0
	ready   ring[*keyQueue]      // keys that wait for a worker
	running int
	shares  shares // of limit
	listed  bool   // is in the scheduler's list of ready lanes
}

// keyQueue holds the items of one key. It is in exactly one place: in ready of
// its lane, waiting for a share of its origin, with a worker, or paused.
type keyQueue struct {
	lane  *Lane
	key   uint64
	items ring[work]
	timer *time.Timer // while paused
	due   time.Time   // when it ends
	woken bool        // while with a worker: it is not paused then

	// While with a worker: whose shares it takes, 0 is nobody's, and which.
	origin        uint64
	ofLane, ofAll *share
}

// work is what is kept of an [Item].
type work struct {
	task   Task
	size   int
	origin uint64
	shares bool
}

// keptQueue is the capacity up to which an emptied keyQueue is used again.
const keptQueue = 16

// add queues one item. The scheduler's mutex is held, as in all methods below.
func (l *Lane) add(key uint64, w work) {
	q := l.keys[key]
	if q == nil || key == 0 {
		q = l.scheduler.newQueue()
		q.lane, q.key = l, key
		if key != 0 {
			l.keys[key] = q
		}
		l.enlist(q)
	}
	q.items.push(w)
}

// enlist makes a key wait for a worker.
func (l *Lane) enlist(q *keyQueue) {
	l.ready.push(q)
	l.offer()
}

// offer lists the lane with the scheduler when a worker may take something.
func (l *Lane) offer() {
	if l.listed || l.ready.len() == 0 || (l.limit > 0 && l.running >= l.limit) {
		return
	}
	l.listed = true
	l.scheduler.lanes.push(l)
}

// take hands the next key to a worker; nil when the origins of all that are ready have
// their share. The lane was listed.
func (l *Lane) take() (next *keyQueue) {
	for next == nil && l.ready.len() > 0 {
		if q := l.ready.pop(); l.admit(q) {
			next = q
			l.running++
		}
	}
	l.listed = false
	l.offer()
	return next
}

// release forgets an emptied key.
func (l *Lane) release(q *keyQueue) {
	if q.key != 0 {
		delete(l.keys, q.key)
	}
	l.scheduler.freeQueue(q)
}
