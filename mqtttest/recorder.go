package mqtttest

import (
	"sync"
)

// Recorder compares the messages that a publisher sent with those that consumers handled, by
// message id. It is safe for concurrent use. A million UUIDs take some tens of MiB.
//
// Call Attempted with an id before the publish, Accepted after the publish returned nil, and
// Handled each time a handler did its work. Take the ids from where the effect is (a database
// row, the payload received by a plain client), not from counters of the code under test. At
// the end call Dead and InOutbox with the ids that an operator would find in the dead letters
// and in the outbox: these are not lost.
type Recorder struct {
	mu       sync.Mutex
	ids      idTable
	progress Progress
}

// Progress is the intermediate state of a run.
type Progress struct {
	// Accepted, Handled and Lost count ids. Lost are ids that are accepted, but so far neither
	// handled nor in the dead letters nor in the outbox; during the run their messages are in
	// transit.
	Accepted, Handled, Lost int
	// Duplicates counts how often ids were handled after the first time.
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

// Attempted records that id is about to be published.
func (r *Recorder) Attempted(id string) { r.note(id, attempted, 0) }

// Accepted records that the publish of id returned nil.
func (r *Recorder) Accepted(id string) { r.note(id, attempted|accepted, 0) }

// Handled records that id was handled once more.
func (r *Recorder) Handled(id string) { r.note(id, 0, 1) }

// Dead records that id is in the dead letters.
func (r *Recorder) Dead(id string) { r.note(id, dead, 0) }

// InOutbox records that id is in an outbox.
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

// Progress returns the counts so far. Unlike [Recorder.Report] it is cheap.
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

// Rows is a query result with one text column, such as *sql.Rows.
type Rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

// HandledFrom records the id of every row as handled once, for example of SELECT id FROM
// effects, and returns the number of rows. It does not close rows.
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
