package relay

import (
	"time"
)

// A broker may never acknowledge the messages of some keys. Each attempt occupies a place
// in the window until the sender gives up; 20 of them could fill the window, again and
// again. So closed keys without an acknowledgement wait in a heap of their own, and two are
// tried at a time, with growing pauses in between. The first acknowledgement ends the
// pauses, and each one allows one more trial at a time: the broker was slow, or has
// recovered.

const (
	minTrials       = 2
	firstTrialPause = time.Second
	maxTrialPause   = 30 * time.Second
)

// unanswered has the closed lanes whose entries had no acknowledgement.
type unanswered struct {
	pausing pauses
	lanes   int       // number of such lanes
	trials  int       // number being read, queued or in flight
	more    int       // trials allowed beyond fewTrials
	failed  int       // trials without an acknowledgement in a row
	until   time.Time // end of the pause
}

// due returns how long it is until one more trial may begin.
func (s *unanswered) due(now time.Time) time.Duration {
	if s.trials >= minTrials+s.more {
		return time.Hour // the next outcome wakes the worker
	}
	return max(0, s.until.Sub(now))
}

// failedTrial notes an attempt without an acknowledgement.
func (s *unanswered) failedTrial(trial bool, now time.Time) {
	pause := maxTrialPause
	if s.failed < 5 {
		pause = firstTrialPause << s.failed
	}
	s.until, s.more = now.Add(pause), 0
	if trial {
		s.failed++
	}
}

// answered notes that a trial was acknowledged.
func (s *unanswered) ackedTrial() {
	s.failed, s.until = 0, time.Time{}
	s.more++
}

// mark sets whether the last entry of a closed lane had no acknowledgement. The lane must
// not be in a heap.
func (s *unanswered) mark(c *closedLane, silent bool) {
	switch {
	case silent && !c.unanswered:
		s.lanes++
	case !silent && c.unanswered:
		s.lanes--
	}
	c.unanswered = silent
}

// pausingHeap returns the heap in which a closed lane pauses.
func (s *closedLanes) pausingHeap(l *lane) *pauses {
	if l.closed.unanswered {
		return &s.unanswered.pausing
	}
	return &s.pausing
}
