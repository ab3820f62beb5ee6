package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Bounds of a bulk operation.
const (
	DefaultBulk = 1000
	MaxBulk     = 100_000
	// MaxIDs is the number of ids that one call takes.
	MaxIDs = 10_000
	// maxProblems is the number of letters that an outcome describes.
	maxProblems = 100
	// maxHeld is the number of keys that may fail.
	maxHeld = 1000
)

// Bulk selects what a bulk operation works on, and bounds it. Exactly one of IDs, Criteria and All
// must select letters, so that nothing is done to everything by mistake.
type Bulk struct {
	// IDs are those of the letters, at most 10,000, in any order.
	IDs []string
	// Criteria select letters.
	Criteria Criteria
	// All selects all letters.
	All bool
	// Confirmed includes suspect letters in a replay. It needs IDs: somebody has looked at
	// them.
	Confirmed bool
	// DryRun changes nothing. The outcome has how many letters are selected, and those that
	// cannot be replayed.
	DryRun bool
	// Limit is the number of letters after which the operation ends; 0 means 1,000, at most
	// 100,000.
	Limit int
	// Rate is the maximum number of letters a second; 0 means no limit.
	Rate float64
	// Within is the time after which the operation ends; 0 means no limit but the context's.
	// A letter that is being worked on is finished, and one is taken in any case.
	Within time.Duration
	// Cursor is Next of the call that this one continues. The selection must be the same.
	Cursor Cursor
	// By is the name of the person who asks for it, for the audit.
	By string
}

// Outcome is what a bulk operation did. It is valid also if the operation returned an error.
type Outcome struct {
	// Selected is the number of letters that were looked at: the sum of Done, Failed and Held,
	// and in a dry run those that the operation would take.
	Selected int
	// Done is the number of letters with which the operation succeeded; 0 in a dry run.
	Done int
	// Failed is the number of letters with which it failed. They stay as they were, unless
	// their problem says otherwise.
	Failed int
	// Held is the number of letters that were left alone because an earlier one of their key
	// had failed.
	Held int
	// Problems describes the first 100 letters that failed.
	Problems []Problem
	// Next is the cursor with which another call goes on; "" means that nothing is left.
	Next Cursor
	// Incomplete is set if the store could not read all letters.
	Incomplete bool
}

// problem adds a failure.
func (o *Outcome) problem(p Problem) {
	o.Failed++
	if len(o.Problems) < maxProblems {
		o.Problems = append(o.Problems, p)
	}
}

// Problem is why an operation failed for one letter, or one quarantined entry.
type Problem struct {
	// ID is that of the letter; "" for an entry.
	ID string
	// Seq is that of the quarantined entry; 0 for a letter.
	Seq uint64
	// Topic and Key are those of its message.
	Topic, Key string
	// Err is why.
	Err error
}

// validate returns all problems of the selection, joined.
func (b *Bulk) validate(o Options) error {
	errs := []error{b.Criteria.Validate()}
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrBadRequest}, args...)...))
	}
	if !one(len(b.IDs) > 0, !b.Criteria.empty(), b.All) {
		bad("want one of ids, criteria, or all")
	}
	if len(b.IDs) > MaxIDs {
		bad("%d ids, want at most %d", len(b.IDs), MaxIDs)
	}
	if b.Limit < 0 || b.Limit > MaxBulk {
		bad("limit is %d, want 0 to %d", b.Limit, MaxBulk)
	}
	if !(b.Rate >= 0) {
		bad("rate is %v, want 0 or more", b.Rate)
	}
	if b.Confirmed && len(b.IDs) == 0 {
		bad("suspect letters are confirmed by their ids only")
	}
	if o.Source == nil {
		errs = append(errs, lacks("dead letters"))
	}
	return errors.Join(errs...)
}

// one reports whether exactly one of the ways to select is used.
func one(ways ...bool) bool {
	used := 0
	for _, way := range ways {
		if way {
			used++
		}
	}
	return used == 1
}

// item is one letter, or quarantined entry, on its way through an operation.
type item struct {
	id         string // of a letter
	seq        uint64 // of an entry
	topic, key string
	// ordered is a text that differs from key to key; "" has no order.
	ordered string
}

// name returns the text that names the item in an error.
func (it item) name() string {
	if it.seq != 0 {
		return strconv.FormatUint(it.seq, 10)
	}
	return it.id
}

// job is a bulk operation in progress.
type job struct {
	outcome  Outcome
	limit    int
	dry      bool
	deadline time.Time // zero: none
	pause    time.Duration
	next     time.Time // when the rate allows the next item
	held     map[uint64]struct{}
}

func newJob(limit int, rate float64, within time.Duration, dry bool) *job {
	j := &job{limit: cmp.Or(limit, DefaultBulk), dry: dry, held: make(map[uint64]struct{})}
	if within > 0 {
		j.deadline = time.Now().Add(within)
	}
	if rate > 0 {
		j.pause = time.Duration(min(float64(time.Hour), float64(time.Second)/rate))
	}
	return j
}

// over reports whether the operation has to end before the next item.
func (j *job) over() bool {
	return j.outcome.Selected >= j.limit || !j.deadline.IsZero() && !time.Now().Before(j.deadline)
}

// do has an item done, unless its key is held. check finds what would fail without trying. It
// reports whether the item was looked at; err ends the operation.
func (j *job) do(ctx context.Context, it item, check error, act func(ctx context.Context) error) (looked bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if j.outcome.Selected > 0 && j.over() { // the first item is done in any case, so that each call gets on
		return false, nil
	}
	if _, held := j.held[hash(it.ordered)]; held && it.ordered != "" {
		j.outcome.Selected++
		j.outcome.Held++
		return true, nil
	}
	if check == nil && !j.dry {
		if err := j.wait(ctx); err != nil || j.outcome.Selected > 0 && j.over() {
			return false, err
		}
		check = act(ctx)
		if check == nil {
			j.outcome.Done++
		}
	}
	j.outcome.Selected++
	if check == nil {
		return true, nil
	}
	if ends(check) || ctx.Err() != nil {
		j.outcome.Selected-- // the next call takes it again
		return false, fmt.Errorf("%s: %w", it.name(), check)
	}
	j.outcome.problem(Problem{ID: it.id, Seq: it.seq, Topic: it.topic, Key: it.key, Err: check})
	if it.ordered != "" {
		j.held[hash(it.ordered)] = struct{}{}
	}
	if len(j.held) >= maxHeld {
		return true, ErrTooManyFailures
	}
	return true, nil
}

// wait waits until the rate allows the next item.
func (j *job) wait(ctx context.Context) error {
	if j.pause <= 0 {
		return nil
	}
	now := time.Now()
	until := j.next
	if !j.deadline.IsZero() && until.After(j.deadline) {
		until = j.deadline
	}
	if until.After(now) {
		timer := time.NewTimer(until.Sub(now))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if j.next = j.next.Add(j.pause); j.next.Before(now) {
		j.next = now.Add(j.pause)
	}
	return nil
}

// ends reports whether an error concerns all letters, so that going on is useless: there is no
// connection, or the outbox is full.
func ends(err error) bool {
	switch event.ReasonOf(err) {
	case event.ReasonNotConnected, event.ReasonClosed, event.ReasonNetwork, event.ReasonTakenOver, event.ReasonOutboxFull:
		return true
	}
	return false
}

// itemOf returns the item of a letter. Its key counts within its subscription.
func itemOf(l *deadletter.Letter) item {
	it := item{id: l.ID, topic: l.Topic, key: l.Key}
	if l.Key != "" {
		it.ordered = l.Filter + "\x00" + l.Key
	}
	return it
}
