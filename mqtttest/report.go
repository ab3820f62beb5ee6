package mqtttest

import (
	"fmt"
	"slices"
)

// Report is the result of a [Recorder]; its lists are sorted.
type Report struct {
	// Attempted, Accepted, Dead and Outbox count ids. Handled counts ids that were handled at
	// least once.
	Attempted, Accepted, Handled, Dead, Outbox int
	// Duplicates counts how often ids were handled after the first time.
	Duplicates int
	// Lost are accepted ids that are neither handled nor in the dead letters nor in the
	// outbox.
	Lost []string
	// Unexpected are ids that were handled but never attempted.
	Unexpected []string
	// Recovered are ids that were handled although their publish failed: the publisher could
	// not know that they had been sent.
	Recovered []string
	// Duplicated are ids that were handled more than once.
	Duplicated []string
}

// Report returns the result of everything recorded so far.
func (r *Recorder) Report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rep Report
	r.ids.each(rep.add)
	for _, list := range [][]string{rep.Lost, rep.Unexpected, rep.Recovered, rep.Duplicated} {
		slices.Sort(list)
	}
	return rep
}

func (r *Report) add(id func() string, h history) {
	r.Attempted += one(h.is(attempted))
	r.Accepted += one(h.is(accepted))
	r.Dead += one(h.is(dead))
	r.Outbox += one(h.is(inOutbox))
	r.Handled += one(h.handled > 0)
	if h.handled > 1 {
		r.Duplicates += int(h.handled) - 1
		r.Duplicated = append(r.Duplicated, id())
	}
	switch {
	case h.lost():
		r.Lost = append(r.Lost, id())
	case h.handled == 0:
	case !h.is(attempted):
		r.Unexpected = append(r.Unexpected, id())
	case !h.is(accepted):
		r.Recovered = append(r.Recovered, id())
	}
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// Err returns an error with the first lost and unexpected ids, or nil if there are none.
// Duplicates are not an error.
func (r Report) Err() error {
	if len(r.Lost) == 0 && len(r.Unexpected) == 0 {
		return nil
	}
	return fmt.Errorf("%s: first lost %q, first unexpected %q", r, r.Lost[:min(5, len(r.Lost))], r.Unexpected[:min(5, len(r.Unexpected))])
}

// Summary returns the last line of a fault run: "accepted 100 handled 98 dead 1 outbox 1 lost
// 0 duplicates 3".
func (r Report) Summary() string {
	return fmt.Sprintf("accepted %d handled %d dead %d outbox %d lost %d duplicates %d",
		r.Accepted, r.Handled, r.Dead, r.Outbox, len(r.Lost), r.Duplicates)
}

// String returns the summary, followed by "unexpected 0 recovered 0".
func (r Report) String() string {
	return fmt.Sprintf("%s unexpected %d recovered %d", r.Summary(), len(r.Unexpected), len(r.Recovered))
}
