package mqtttest

import (
	"sync"
)

// Recorder holds what a publisher was told against what consumers handled, by
// message id. Its methods may be called from any goroutine. A million ids take
// some tens of MiB if they are UUIDs.
//
// Tell it an id with Attempted before the publish, with Accepted after the
// publish returned nil, and with Handled for every time a handler did its work.
// Take the ids from where the effect is (a database row, the payload seen by a
// plain client), not from counters of the code under test. At the end tell it
// what an operator would find in the dead letters and in the outbox: that is not
// lost.
type Recorder struct {
	mu       sync.Mutex
	ids      idTable
	progress Progress
}

// Progress is how far a run has come.
type Progress struct {
	// Accepted, Handled and Lost count ids. Lost are those that are accepted and
	// so far neither handled nor in the dead letters nor in the outbox: while
	// the run goes on they are on their way.
	Accepted, Handled, Lost int
	// Duplicates counts the times that an id was handled beyond the first.
	Duplicates int
}

// history is what happened to an id.
type history struct {
	handled uint32
	noted   notes
}

type notes uint8

const (
	attempted notes = 1 << iota
	accepted
	dead
	inOutbox
)

func (h history) is(n notes) bool { return h.noted&n != 0 }

func (h history) lost() bool { return h.is(accepted) && h.handled == 0 && !h.is(dead|inOutbox) }

// NewRecorder returns an empty recorder.
func NewRecorder() *Recorder { return &Recorder{ids: newIDTable()} }

// Attempted notes that id is about to be published.
func (r *Recorder) Attempted(id string) { r.note(id, attempted, 0) }

// Accepted notes that the publish of id returned nil.
func (r *Recorder) Accepted(id string) { r.note(id, attempted|accepted, 0) }

// Handled notes that id was handled once more.
func (r *Recorder) Handled(id string) { r.note(id, 0, 1) }

// Dead notes that id is in the dead letters.
func (r *Recorder) Dead(id string) { r.note(id, dead, 0) }

// InOutbox notes that id waits in an outbox.
func (r *Recorder) InOutbox(id string) { r.note(id, inOutbox, 0) }

func (r *Recorder) note(id string, n notes, handled uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids.change(id, func(h history) history {
		after := history{handled: h.handled + handled, noted: h.noted | n}
		r.progress.count(h, -1)
		r.progress.count(after, 1)
		return after
	})
}

// Progress returns the counts so far. Unlike [Recorder.Report] it costs nothing.
func (r *Recorder) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress
}

func (p *Progress) count(h history, by int) {
	if h.is(accepted) {
		p.Accepted += by
	}
	if h.lost() {
		p.Lost += by
	}
	if h.handled > 0 {
		p.Handled += by
		p.Duplicates += by * int(h.handled-1)
	}
}

// Rows is the result of a query for one column of text, as *sql.Rows has it.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

// HandledFrom notes the id of every row as handled once, such as those of
// SELECT id FROM effects. It returns how many rows there were. It does not close
// them.
func (r *Recorder) HandledFrom(rows Rows) (n int, err error) {
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return n, err
		}
		r.Handled(id)
		n++
	}
	return n, rows.Err()
}
