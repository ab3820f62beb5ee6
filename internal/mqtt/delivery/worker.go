package delivery

import "time"

// exitPause is how long a task waits that ended its goroutine.
const exitPause = 100 * time.Millisecond

// worker is one goroutine of a [Scheduler]. It owns itself: it ends when it was
// idle for too long or the scheduler stopped.
type worker struct {
	wakeup chan struct{} // capacity 1
	timer  *time.Timer   // idle timeout
}

// signal wakes a parked worker; nil is nobody to wake.
func (w *worker) signal() {
	if w != nil {
		w.wakeup <- struct{}{}
	}
}

// wake finds one worker for work that is ready: a parked one, to be signalled
// by the caller without the mutex, or a new one, which is started here. One at
// a time: a worker that takes a task wakes the next when there is more. The
// mutex is held.
func (s *Scheduler) wake() *worker {
	if s.lanes.len() == 0 || s.waking || s.stopped {
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
	for !s.stopped {
		if s.lanes.len() == 0 || s.crowded() {
			if !s.park(w) {
				break
			}
			continue
		}
		if current = s.lanes.pop().take(); current == nil {
			continue
		}
		current.woken = false
		s.running++
		task := current.items.front().task
		next, again := s.wake(), s.freed()
		s.mu.Unlock()
		next.signal()
		again.tell()

		pause, done := task.Run(s.ctx)

		s.mu.Lock()
		s.pace.finished++
		s.settle(current, pause, done)
		current = nil
	}
	s.mu.Unlock()
}

// park waits for work and reports false when the worker shall end. The mutex is
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
	// Somebody took it off the idle list just now: its signal is on the way.
	s.mu.Unlock()
	<-w.wakeup
	s.mu.Lock()
	s.waking = false
	return true
}

// leave ends the worker. A key is still with it only when the task ended the
// goroutine (runtime.Goexit, as a failing test assertion does); the task is run
// again by another worker, a little later.
func (s *Scheduler) leave(q *keyQueue) {
	s.mu.Lock()
	s.workers--
	if q != nil {
		s.settle(q, exitPause, false)
	}
	if s.stopped && s.workers == 0 {
		close(s.gone)
	}
	wake, again := s.wake(), s.freed()
	s.mu.Unlock()
	wake.signal()
	again.tell()
}

// crowded reports whether waiting work shall not get a further worker now. If
// so it is looked at again after paceInterval.
func (s *Scheduler) crowded() bool {
	if s.running < s.pace.procs {
		return false
	}
	if !s.pace.armed {
		s.pace.measure(s.measured)
	}
	return s.pace.quick
}

// measured lets in a worker if there is still work for it.
func (s *Scheduler) measured() {
	s.mu.Lock()
	s.pace.result()
	wake := s.wake()
	s.mu.Unlock()
	wake.signal()
}
