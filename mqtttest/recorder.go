package mqtttest

import (
	"fmt"
	"slices"
	"sync"
)

// Recorder holds what a publisher was told against what consumers handled, by
// message id. Its methods may be called from any goroutine.
//
// Tell it an id with Attempted before the publish, with Accepted after the
// publish returned nil, and with Handled for every time a handler did its work.
// Take the ids from where the effect is (a database row, the payload seen by a
// plain client), not from counters of the code under test.
type Recorder struct {
	mu  sync.Mutex
	ids map[string]*history
}

type history struct {
	attempted, accepted bool
	handled             int
}

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder { return &Recorder{ids: make(map[string]*history)} }

// Attempted notes that id is about to be published.
func (r *Recorder) Attempted(id string) {
	r.note(id, func(h *history) { h.attempted = true })
}

// Accepted notes that the publish of id returned nil.
func (r *Recorder) Accepted(id string) {
	r.note(id, func(h *history) { h.attempted, h.accepted = true, true })
}

// Handled notes that id was handled once more.
func (r *Recorder) Handled(id string) {
	r.note(id, func(h *history) { h.handled++ })
}

func (r *Recorder) note(id string, f func(*history)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.ids[id]
	if h == nil {
		h = new(history)
		r.ids[id] = h
	}
	f(h)
}

// Report is the verdict over all ids; its lists are sorted.
type Report struct {
	// Attempted and Accepted count ids. Handled counts ids that were handled at
	// least once.
	Attempted, Accepted, Handled int
	// Duplicates counts the times that an id was handled beyond the first.
	Duplicates int
	// Lost are accepted and never handled.
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
	for id, h := range r.ids {
		rep.add(id, h)
	}
	for _, list := range [][]string{rep.Lost, rep.Unexpected, rep.Recovered, rep.Duplicated} {
		slices.Sort(list)
	}
	return rep
}

func (r *Report) add(id string, h *history) {
	if h.attempted {
		r.Attempted++
	}
	if h.accepted {
		r.Accepted++
	}
	if h.handled > 0 {
		r.Handled++
	}
	if h.handled > 1 {
		r.Duplicates += h.handled - 1
		r.Duplicated = append(r.Duplicated, id)
	}
	switch {
	case h.accepted && h.handled == 0:
		r.Lost = append(r.Lost, id)
	case h.handled > 0 && !h.attempted:
		r.Unexpected = append(r.Unexpected, id)
	case h.handled > 0 && !h.accepted:
		r.Recovered = append(r.Recovered, id)
	}
}

// Err returns an error that names the first lost and unexpected ids, nil when
// there are none. Duplicates are no error.
func (r Report) Err() error {
	if len(r.Lost) == 0 && len(r.Unexpected) == 0 {
		return nil
	}
	return fmt.Errorf("%s: first lost %q, first unexpected %q", r, r.Lost[:min(5, len(r.Lost))], r.Unexpected[:min(5, len(r.Unexpected))])
}

// String is one line: accepted 100 handled 100 lost 0 duplicates 3 unexpected 0
// recovered 0.
func (r Report) String() string {
	return fmt.Sprintf("accepted %d handled %d lost %d duplicates %d unexpected %d recovered %d",
		r.Accepted, r.Handled, len(r.Lost), r.Duplicates, len(r.Unexpected), len(r.Recovered))
}
