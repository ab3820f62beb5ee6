package mqtttest

import (
	"fmt"
	"slices"
)

// Report is the verdict of a [Recorder] over all ids; its lists are sorted.
type Report struct {
	// Attempted and Accepted count ids. Handled counts ids that were handled at
	// least once, Dead and Outbox those found there.
	Attempted, Accepted, Handled, Dead, Outbox int
	// Duplicates counts the times that an id was handled beyond the first.
	Duplicates int
	// Lost are accepted, and neither handled nor in the dead letters nor in the
	// outbox.
	Lost []string
	// Unexpected were handled and never attempted.
	Unexpected []string
	// Recovered were handled although their publish did not return nil: the
	// publisher could not know.
	Recovered []string
	// Duplicated were handled more than once.
	Duplicated []string
}

// Report judges what was noted so far.
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

// Err returns an error that names the first lost and unexpected ids, nil when
// there are none. Duplicates are no error.
func (r Report) Err() error {
	if len(r.Lost) == 0 && len(r.Unexpected) == 0 {
		return nil
	}
	return fmt.Errorf("%s: first lost %q, first unexpected %q", r, r.Lost[:min(5, len(r.Lost))], r.Unexpected[:min(5, len(r.Unexpected))])
}

// Summary is the line that a fault run ends with: accepted 100 handled 98 dead 1
// outbox 1 lost 0 duplicates 3.
func (r Report) Summary() string {
	return fmt.Sprintf("accepted %d handled %d dead %d outbox %d lost %d duplicates %d",
		r.Accepted, r.Handled, r.Dead, r.Outbox, len(r.Lost), r.Duplicates)
}

// String is the summary, followed by unexpected 0 recovered 0.
func (r Report) String() string {
	return fmt.Sprintf("%s unexpected %d recovered %d", r.Summary(), len(r.Unexpected), len(r.Recovered))
}
