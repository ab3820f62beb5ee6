package relay

import (
	"time"
)

// A broker may never acknowledge the messages of some keys. Each attempt takes room at the
// broker and in the connection until the sender gives up, and 20 of them could use all of
// it, again at each attempt. So closed keys without an acknowledgement wait apart from the
// other closed keys, and two are tried at a time, with growing pauses in between. The
// first acknowledgement ends the pauses, and each one lets one more key be tried at a
// time: the broker was slow, or has recovered.

const (
	fewTrials      = 2
	firstSilence   = time.Second
	longestSilence = 30 * time.Second
)

// silence has the closed keys whose entries had no acknowledgement.
type silence struct {
	pausing pauses
	lanes   int
	trials  int // being read, queued, and in flight
	more    int // may be, beyond a few
	failed  int // in a row
	until   time.Time
}

// due returns how long it will be until one more key may be tried.
func (s *silence) due(now time.Time) time.Duration {
	if s.trials >= fewTrials+s.more {
		return time.Hour // the next outcome is looked at
	}
	return max(0, s.until.Sub(now))
}

// unanswered notes an attempt without an acknowledgement.
func (s *silence) unanswered(trial bool, now time.Time) {
	pause := longestSilence
	if s.failed < 5 {
		pause = firstSilence << s.failed
	}
	s.until, s.more = now.Add(pause), 0
	if trial {
		s.failed++
	}
}

// answered notes that a trial was acknowledged.
func (s *silence) answered() {
	s.failed, s.until = 0, time.Time{}
	s.more++
}

// mark notes whether the last entry of a closed lane had no acknowledgement. It must
// not be in a heap.
func (s *silence) mark(c *closed, silent bool) {
	switch {
	case silent && !c.silent:
		s.lanes++
	case !silent && c.silent:
		s.lanes--
	}
	c.silent = silent
}

// heap is where a closed lane pauses.
func (s *shut) heap(l *lane) *pauses {
	if l.closed.silent {
		return &s.silence.pausing
	}
	return &s.pausing
}
