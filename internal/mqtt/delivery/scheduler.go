package delivery

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// Defaults of [SchedulerOptions].
const (
	DefaultWorkers     = 16
	DefaultMaxCount    = 1024
	DefaultMaxBytes    = 32 << 20
	DefaultIdleTimeout = 30 * time.Second
	DefaultGrace       = time.Second
)

// SchedulerOptions are the settings of a [Scheduler]. Zero values mean the
// defaults; negative values are errors.
type SchedulerOptions struct {
	// Workers is the maximum number of tasks that run at the same time; the
	// default is [DefaultWorkers]. Workers are started when needed.
	Workers int
	// MaxCount limits the items that are accepted and not finished; the default
	// is [DefaultMaxCount].
	MaxCount int
	// MaxBytes limits their total size in bytes; the default is
	// [DefaultMaxBytes].
	MaxBytes int64
	// IdleTimeout ends a worker that has been idle for this long; the default
	// is [DefaultIdleTimeout].
	IdleTimeout time.Duration
	// Grace is how long Drain waits after the end of its context for cancelled
	// tasks to return; the default is [DefaultGrace].
	Grace time.Duration
	// QueueFull, if set, is called on the submitter's goroutine after a Submit
	// that refused items because of the limits, with their number. It must not
	// block.
	QueueFull func(refused int)
}

// Stats is a snapshot of a [Scheduler].
type Stats struct {
	Queued  int   // items that wait for their turn, including those of paused keys
	Running int   // tasks that are running
	Paused  int   // keys that wait to be run again
	Workers int   // goroutines, including idle ones
	Bytes   int64 // total size of the queued and running items
}

// Scheduler runs tasks on a bounded pool of workers: one FIFO queue per key, a
// key on at most one worker at a time, different keys in parallel. Submitting
// never waits for a task. All methods are safe for concurrent use, also from
// inside a task, except that a task must not wait for Drain or Close.
type Scheduler struct {
	opts   SchedulerOptions
	seed   maphash.Seed
	ctx    context.Context
	cancel context.CancelFunc

	drained chan struct{} // closed when draining and nothing is left
	late    chan struct{} // closed when draining and everything left is due after until
	gone    chan struct{} // closed when stopped and no worker is left

	mu       sync.Mutex
	lane     *Lane             // for items without a lane
	lanes    queue.Ring[*Lane] // lanes that a worker may take from
	paused   map[*keyQueue]struct{}
	spare    []*keyQueue // empty queues for reuse
	idle     []*worker   // last in, first out, so that surplus workers time out
	waking   bool        // a worker was woken and has not looked yet
	pace     pace
	count    int
	bytes    int64
	held     room // items kept elsewhere that count
	origins  origins
	shares   shares // shares of the workers
	awaited  []wish
	running  int
	workers  int
	draining bool      // new items are refused
	until    time.Time // deadline of the drain; zero means none
	tooLate  bool      // late is closed
	stopped  bool      // no task is started any more
	dropped  int       // items left unfinished when stopped
}

// NewScheduler returns a scheduler. Workers start with the first item. Tasks
// get the values of ctx, but its end does not cancel them; Drain and Close do.
// Every scheduler must be ended with one of the two. The error names all
// invalid options.
func NewScheduler(ctx context.Context, opts SchedulerOptions) (*Scheduler, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Scheduler{
		opts:    opts.withDefaults(),
		seed:    maphash.MakeSeed(),
		drained: make(chan struct{}),
		late:    make(chan struct{}),
		gone:    make(chan struct{}),
		paused:  make(map[*keyQueue]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.lane, s.shares = s.newLane(0), sharesOf(s.opts.Workers)
	s.pace = newPace()
	return s, nil
}

func (o SchedulerOptions) validate() error {
	var errs []error
	check := func(name string, negative bool, value any) {
		if negative {
			errs = append(errs, fmt.Errorf("delivery: %s is negative: %v", name, value))
		}
	}
	check("Workers", o.Workers < 0, o.Workers)
	check("MaxCount", o.MaxCount < 0, o.MaxCount)
	check("MaxBytes", o.MaxBytes < 0, o.MaxBytes)
	check("IdleTimeout", o.IdleTimeout < 0, o.IdleTimeout)
	check("Grace", o.Grace < 0, o.Grace)
	return errors.Join(errs...)
}

func (o SchedulerOptions) withDefaults() SchedulerOptions {
	setDefault(&o.Workers, DefaultWorkers)
	setDefault(&o.MaxCount, DefaultMaxCount)
	setDefault(&o.MaxBytes, DefaultMaxBytes)
	setDefault(&o.IdleTimeout, DefaultIdleTimeout)
	setDefault(&o.Grace, DefaultGrace)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// NewLane returns a lane that runs at most limit tasks at the same time. With 0
// or less only the number of workers limits it. With limit 1 one task runs at a
// time; to keep the receive order across topics and retries as well, give all
// items the same key.
func (s *Scheduler) NewLane(limit int) *Lane { return s.newLane(max(limit, 0)) }

func (s *Scheduler) newLane(limit int) *Lane {
	return &Lane{scheduler: s, limit: limit, keys: make(map[uint64]*keyQueue), shares: sharesOf(limit)}
}

// Key returns the [Item.Key] of an ordering key such as a topic; it is never 0.
// Names that happen to have the same key share its order, which only reduces
// parallelism.
func (s *Scheduler) Key(name string) uint64 {
	return max(maphash.String(s.seed, name), 1)
}

// Submit queues the items in order and returns the number of accepted ones.
// Accepted items are cleared in the slice, so that a batch can be reused. Items
// that keep their Task were refused: beyond the limits and not Must, with a
// lane of another scheduler, or after Drain or Close. Submit never waits for a
// task.
func (s *Scheduler) Submit(items ...Item) (accepted int) { return s.submit(items, false) }

// Continue is like Submit, for items that a running task creates from its work:
// they are accepted during a drain, too.
func (s *Scheduler) Continue(items ...Item) (accepted int) { return s.submit(items, true) }

func (s *Scheduler) submit(items []Item, inside bool) (accepted int) {
	refused := 0
	s.mu.Lock()
	for i := range items {
		it := &items[i]
		lane := it.Lane
		if lane == nil {
			lane = s.lane
		}
		if it.Task == nil || s.stopped || s.draining && !inside || lane.scheduler != s {
			continue
		}
		if !it.Must && s.full(it.Size) {
			refused++
			continue
		}
		s.count++
		s.bytes += int64(it.Size)
		s.origins.add(it.Origin, 1, int64(it.Size))
		lane.add(it.Key, work{task: it.Task, size: it.Size, origin: it.Origin, shares: it.Shares})
		items[i] = Item{}
		accepted++
	}
	wake := s.wake()
	s.mu.Unlock()
	wake.signal()
	if refused > 0 && s.opts.QueueFull != nil {
		s.opts.QueueFull(refused)
	}
	return accepted
}

// Resize sets the maximum number of tasks that run at the same time. Running tasks are
// finished.
func (s *Scheduler) Resize(workers int) {
	s.mu.Lock()
	s.opts.Workers = max(1, workers)
	s.shares.resize(s.opts.Workers)
	wake := s.wake()
	s.mu.Unlock()
	wake.signal()
}

// Stats returns a snapshot of the scheduler.
func (s *Scheduler) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Queued:  s.count - s.running,
		Running: s.running,
		Paused:  len(s.paused),
		Workers: s.workers,
		Bytes:   s.bytes,
	}
}

func (s *Scheduler) full(size int) bool {
	return s.count >= s.opts.MaxCount || s.bytes+int64(size) > s.opts.MaxBytes
}

// settle takes a key back from its worker. The mutex must be held.
func (s *Scheduler) settle(q *keyQueue, again time.Duration, done bool) {
	lane := q.lane
	s.running--
	lane.running--
	lane.breaker.exit(q.epoch)
	if s.stopped {
		s.count--
		if !done {
			s.dropped++
		}
		return
	}
	lane.leave(q)
	switch {
	case done:
		s.finish(q)
	case again > 0 && !q.woken:
		s.pause(q, again)
	default:
		lane.ready.Push(q)
	}
	lane.offer()
	if !lane.breaker.limited() { // else other lanes of the breaker have to be offered first
		s.giveUp()
	}
}

// finish removes the oldest item of a key. The mutex must be held.
func (s *Scheduler) finish(q *keyQueue) {
	w := q.items.Pop()
	s.bytes -= int64(w.size)
	s.origins.add(w.origin, -1, -int64(w.size))
	s.count--
	q.lane.count--
	if q.items.Len() > 0 {
		q.lane.ready.Push(q)
		return
	}
	q.lane.release(q)
	if s.count == 0 && s.draining {
		close(s.drained)
	}
}

// pause pauses a key for a while. The mutex must be held.
func (s *Scheduler) pause(q *keyQueue, d time.Duration) {
	s.paused[q] = struct{}{}
	q.due = time.Now().Add(d)
	q.timer = time.AfterFunc(d, func() { s.resume(q) })
}

func (s *Scheduler) resume(q *keyQueue) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	delete(s.paused, q)
	q.timer = nil
	q.lane.enlist(q)
	wake := s.wake()
	s.giveUp()
	s.mu.Unlock()
	wake.signal()
}

func (s *Scheduler) newQueue() *keyQueue {
	if n := len(s.spare); n > 0 {
		q := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return q
	}
	return &keyQueue{}
}

func (s *Scheduler) freeQueue(q *keyQueue) {
	if len(s.spare) < s.opts.MaxCount && q.items.Cap() <= keptQueue {
		q.lane = nil
		s.spare = append(s.spare, q)
	}
}
