package relay

import (
	"time"
)

// A broker may never acknowledge the messages of some keys. Each that is tried takes
// room of the broker's and of the connection for as long as the sender is patient, and
// 20 of them could have all of it, again at each attempt. So keys that end like that
// wait apart from the other closed ones, and two are tried at a time, with growing
// pauses between them all. When one is acknowledged the pauses end, and with each
// that is, one more goes at a time: the broker was slow, or is well again.

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

// due is how long it will be until one more may be tried.
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
