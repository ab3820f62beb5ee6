package delivery

import (
	"runtime"
	"time"
)

const (
	// quickTask is the mean duration below which a further worker costs more,
	// in contention and switches, than it brings.
	quickTask = 20 * time.Microsecond
	// stallAfter is how long waiting work may see no task finish before more
	// workers are let in all the same.
	stallAfter = time.Millisecond
)

// pace holds back workers while tasks are quick: as many as there are
// processors are enough then. A task that blocks shows as slow, or as a stall.
// Guarded by the scheduler's mutex.
type pace struct {
	procs    int
	mean     time.Duration // moving, of the last runs
	finished uint64
	seen     uint64 // finished when the timer was set
	timer    *time.Timer
	armed    bool
}

func newPace() pace { return pace{procs: runtime.GOMAXPROCS(0), mean: quickTask} }

// note takes the duration of a finished run into account; long ones are capped,
// so that one of them is soon forgotten.
func (p *pace) note(took time.Duration) {
	p.finished++
	p.mean += (min(took, 8*quickTask) - p.mean) / 8
}

// crowded reports whether so many running workers are enough.
func (p *pace) crowded(running int) bool {
	return running >= p.procs && p.mean < quickTask
}

// watch sets a timer, if none runs, for work that waits although there are
// workers left.
func (p *pace) watch(stalled func()) {
	switch {
	case p.armed:
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(stallAfter, stalled)
	default:
		p.timer.Reset(stallAfter)
	}
	p.armed, p.seen = true, p.finished
}

// look is called when the timer fired. Without progress the tasks are not quick.
func (p *pace) look() {
	p.armed = false
	if p.finished == p.seen {
		p.mean = 8 * quickTask
	}
}

func (p *pace) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// stalled lets a worker in if there is still work to take.
func (s *Scheduler) stalled() {
	s.mu.Lock()
	s.pace.look()
	wake := s.wake()
	s.mu.Unlock()
	wake.signal()
}
