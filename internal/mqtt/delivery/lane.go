package delivery

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// Lane is a group of items with its own concurrency limit, usually one
// subscription. Lanes with work take turns, so that a busy subscription does
// not starve the others. It is created by [Scheduler.NewLane].
type Lane struct {
	scheduler *Scheduler
	limit     int
	breaker   *Breaker // may stop the lane; nil without one

	// Guarded by the scheduler's mutex.
	keys    map[uint64]*keyQueue  // keys with work, except key 0
	ready   queue.Ring[*keyQueue] // keys that wait for a worker
	running int
	count   int    // items that are not finished
	shares  shares // shares of the lane's limit
	listed  bool   // is in the scheduler's list of ready lanes
}

// keyQueue holds the items of one key. It is in exactly one place: in ready of
// its lane, waiting for a share of its origin, with a worker, or paused.
type keyQueue struct {
	lane  *Lane
	key   uint64
	items queue.Ring[work]
	timer *time.Timer // set while paused
	due   time.Time   // end of the pause
	woken bool        // woken while with a worker: do not pause
	epoch uint32      // of the breaker, when it let the running task pass

	// While with a worker: the origin whose share it uses, or 0, and that
	// share.
	origin        uint64
	ofLane, ofAll *share
}

// work is the part of an [Item] that is kept.
type work struct {
	task   Task
	size   int
	origin uint64
	shares bool
}

// keptQueue is the capacity up to which an empty keyQueue is reused.
const keptQueue = 16

// Resize sets the maximum number of the lane's items that run at the same time; 0 means
// that only the scheduler limits them. Running items are finished. It is safe for
// concurrent use.
func (l *Lane) Resize(limit int) {
	s := l.scheduler
	s.mu.Lock()
	l.limit = max(limit, 0)
	l.shares.resize(l.limit)
	s.mu.Unlock()
	l.wake()
}

// wake has a worker look at the lane again. The scheduler's mutex must not be held.
func (l *Lane) wake() {
	s := l.scheduler
	s.mu.Lock()
	var wake *worker
	if !s.stopped {
		l.offer()
		wake = s.wake()
	}
	s.mu.Unlock()
	wake.signal()
}

// add queues one item. The scheduler's mutex must be held, as for all methods
// below.
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
	q.items.Push(w)
	l.count++
}

// enlist lets a key wait for a worker.
func (l *Lane) enlist(q *keyQueue) {
	l.ready.Push(q)
	l.offer()
}

// offer adds the lane to the scheduler's list if a worker may take something
// from it.
func (l *Lane) offer() {
	if l.listed || l.ready.Len() == 0 || (l.limit > 0 && l.running >= l.limit) || l.breaker.full() {
		return
	}
	l.listed = true
	l.scheduler.lanes.Push(l)
}

// take returns the next key for a worker, or nil if the origins of all ready
// keys have used up their share, or the breaker lets nothing pass. The lane must
// have been taken from the list.
func (l *Lane) take() (next *keyQueue) {
	if epoch, may := l.breaker.enter(); may {
		for next == nil && l.ready.Len() > 0 {
			if q := l.ready.Pop(); l.admit(q) {
				next, q.epoch = q, epoch
				l.running++
			}
		}
		if next == nil {
			l.breaker.exit(epoch)
		}
	}
	l.listed = false
	l.offer()
	return next
}

// release removes an empty key.
func (l *Lane) release(q *keyQueue) {
	if q.key != 0 {
		delete(l.keys, q.key)
	}
	l.scheduler.freeQueue(q)
}
