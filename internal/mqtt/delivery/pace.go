package delivery

import (
	"runtime"
	"time"
)

const (
	// quickTask is the duration of tasks below which another worker costs more,
	// in contention and context switches, than it contributes.
	quickTask = 20 * time.Microsecond
	// paceInterval is the interval of measurements while work waits.
	paceInterval = time.Millisecond
)

// pace limits the workers while tasks are quick: then as many as there are
// processors suffice. If tasks take longer or block, fewer finish and all
// workers are used. It counts finished tasks instead of timing each, and only
// while work waits. Guarded by the scheduler's mutex.
type pace struct {
	procs    int
	quick    bool // the result of the last measurement
	finished int  // tasks finished since the measurement began
	since    time.Time
	timer    *time.Timer
	armed    bool
}

func newPace() pace { return pace{procs: runtime.GOMAXPROCS(0)} }

// measure starts a measurement and calls end when it is over.
func (p *pace) measure(end func()) {
	if p.timer == nil {
		p.timer = time.AfterFunc(paceInterval, end)
	} else {
		p.timer.Reset(paceInterval)
	}
	p.armed, p.finished, p.since = true, 0, time.Now()
}

// result ends a measurement.
func (p *pace) result() {
	p.armed = false
	busy := time.Since(p.since) * time.Duration(p.procs)
	p.quick = time.Duration(p.finished)*quickTask > busy
}

func (p *pace) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}
