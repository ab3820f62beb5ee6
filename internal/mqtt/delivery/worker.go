package delivery

import "time"

// exitPause is the pause before a task that ended its goroutine is run again.
const exitPause = 100 * time.Millisecond

// worker is one goroutine of a [Scheduler]. It ends when it was idle for too
// long or the scheduler stopped.
type worker struct {
	wakeup chan struct{} // capacity 1
	timer  *time.Timer   // idle timeout
}

// signal wakes a parked worker; w may be nil.
func (w *worker) signal() {
	if w != nil {
		w.wakeup <- struct{}{}
	}
}

// wake finds one worker for work that is ready. It returns a parked one, which
// the caller must signal without the mutex, or starts a new one. A worker that
// takes a task wakes the next if there is more work. The mutex must be held.
func (s *Scheduler) wake() *worker {
	if s.lanes.Len() == 0 || s.waking || s.stopped {
		return nil
	}
	if s.crowded() {
		return nil
	}
	if n := len(s.idle); n > 0 {
		w := s.idle[n-1]
		s.idle = s.idle[:n-1]
		s.waking = true
		return w
	}
	if s.workers < s.opts.Workers {
		s.workers++
		s.waking = true
		go s.work(&worker{wakeup: make(chan struct{}, 1)})
	}
	return nil
}

// work runs tasks until the worker is not needed any more.
func (s *Scheduler) work(w *worker) {
	var current *keyQueue
	defer func() { s.leave(current) }()

	s.mu.Lock()
	s.waking = false
	for !s.stopped && s.workers <= s.opts.Workers {
		if s.lanes.Len() == 0 || s.crowded() {
			if !s.park(w) {
				break
			}
			continue
		}
		if current = s.lanes.Pop().take(); current == nil {
			s.giveUp()
			continue
		}
		current.woken = false
		s.running++
		task := current.items.Front().task
		next, again := s.wake(), s.freed()
		s.mu.Unlock()
		next.signal()
		again.tell()

		pause, done := task.Run(s.ctx)

		s.mu.Lock()
		s.pace.finished++
		breaker := current.lane.breaker
		s.settle(current, pause, done)
		if current = nil; breaker.limited() {
			s.mu.Unlock()
			breaker.offer()
			s.mu.Lock()
			s.giveUp()
		}
	}
	s.mu.Unlock()
}

// park waits for work and returns false if the worker must end. The mutex is
// held before and after.
func (s *Scheduler) park(w *worker) bool {
	s.idle = append(s.idle, w)
	again := s.freed()
	s.mu.Unlock()
	again.tell()
	if w.timer == nil {
		w.timer = time.NewTimer(s.opts.IdleTimeout)
	} else {
		w.timer.Reset(s.opts.IdleTimeout)
	}
	select {
	case <-w.wakeup:
		w.timer.Stop()
		s.mu.Lock()
		s.waking = false
		return true
	case <-w.timer.C:
	}
	s.mu.Lock()
	for i, other := range s.idle {
		if other == w {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			return false
		}
	}
	// Another goroutine has just removed it from the idle list, and its signal
	// will follow.
	s.mu.Unlock()
	<-w.wakeup
	s.mu.Lock()
	s.waking = false
	return true
}

// leave ends the worker. It still has a key only if the task ended the
// goroutine (runtime.Goexit, as a failing test assertion does); another worker
// runs the task again a little later.
func (s *Scheduler) leave(q *keyQueue) {
	s.mu.Lock()
	s.workers--
	if q != nil {
		s.settle(q, exitPause, false)
		s.giveUp()
	}
	if s.stopped && s.workers == 0 {
		close(s.gone)
	}
	wake, again := s.wake(), s.freed()
	s.mu.Unlock()
	wake.signal()
	again.tell()
}

// crowded reports whether waiting work must not get another worker now. If so,
// this is checked again after paceInterval.
func (s *Scheduler) crowded() bool {
	if s.running < s.pace.procs {
		return false
	}
	if !s.pace.armed {
		s.pace.measure(s.measured)
	}
	return s.pace.quick
}

// measured adds a worker if there is still work for it.
func (s *Scheduler) measured() {
	s.mu.Lock()
	s.pace.result()
	wake := s.wake()
	s.mu.Unlock()
	wake.signal()
}
