package delivery

import (
	"runtime"
	"time"
)

const (
	// quickTask is the duration below which a further worker costs more, in
	// contention and switches, than it brings.
	quickTask = 20 * time.Microsecond
	// paceInterval is how often the pace is measured while work waits.
	paceInterval = time.Millisecond
)

// pace holds back workers while tasks are quick: as many as there are
// processors are enough then. Tasks that take their time, or block, finish too
// rarely for that, and all workers are let in. It is measured by counting, not
// per task, and only while work waits. Guarded by the scheduler's mutex.
type pace struct {
	procs    int
	quick    bool // the result of the last measurement
	finished int  // runs since it began
	since    time.Time
	timer    *time.Timer
	armed    bool
}

func newPace() pace { return pace{procs: runtime.GOMAXPROCS(0)} }

// measure begins a measurement; end is called when its time is up.
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
