package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// EntryCriteria select entries of an outbox. A field that is not set selects all.
type EntryCriteria struct {
	// Topic is a topic filter that the topic of the entry matches.
	Topic string
	// Reason is a part of the reason why it is in quarantine, or why its key waits.
	Reason string
	// From and To bound when the entry was quarantined, or when the outbox accepted a waiting
	// one: From <= time < To.
	From, To time.Time
}

func (c *EntryCriteria) matches(e *seen) bool {
	times := Criteria{From: c.From, To: c.To}
	return times.within(e.at) && (c.Reason == "" || strings.Contains(e.reason, c.Reason)) &&
		(c.Topic == "" || e.entry != nil && topic.Match(c.Topic, e.entry.Topic))
}

// validate uses the rules of letters.
func (c *EntryCriteria) validate() error {
	same := Criteria{Topic: c.Topic, Reason: c.Reason, From: c.From, To: c.To}
	return same.Validate()
}

// EntryQuery selects a page of entries.
type EntryQuery struct {
	Criteria EntryCriteria
	// Cursor is Next of the previous page; "" selects the first one.
	Cursor Cursor
	// Limit is the maximum number of entries; 0 means 100, at most 1,000.
	Limit int
}

// QuarantinePage is a part of the quarantine.
type QuarantinePage struct {
	// Entries are in the order of Seq.
	Entries []outbox.Quarantined
	// Next is the cursor of the next page; "" means that there is none.
	Next Cursor
}

// WaitingPage is a part of the waiting entries.
type WaitingPage struct {
	// Entries are in the order of Seq.
	Entries []outbox.Waiting
	// Next is the cursor of the next page; "" means that there is none.
	Next Cursor
}

// Quarantined returns a page of quarantined entries. It ends at 1 MiB and has at least one entry if
// there is one. The error is that of the store, or wraps [ErrBadRequest] or [ErrUnavailable].
func (o *Operator) Quarantined(ctx context.Context, q EntryQuery) (page QuarantinePage, err error) {
	page.Entries, page.Next, err = pageOf(ctx, o, quarantined(), q)
	return page, err
}

// Waiting returns a page of waiting entries, like Quarantined.
func (o *Operator) Waiting(ctx context.Context, q EntryQuery) (page WaitingPage, err error) {
	page.Entries, page.Next, err = pageOf(ctx, o, waiting(), q)
	return page, err
}

// seen is what the operator needs to know of an entry.
type seen struct {
	seq    uint64
	at     time.Time
	reason string
	entry  *outbox.Entry // nil if it cannot be decoded
	raw    int           // size of a record that cannot be decoded
}

func (e *seen) size() int {
	n := 256 + e.raw + len(e.reason)
	if e.entry != nil {
		n += e.entry.Size()
	}
	return n
}

// item has the order of its key: one that fails holds those behind it.
func (e *seen) item() item {
	it := item{seq: e.seq}
	if e.entry != nil {
		it.topic, it.key, it.ordered = e.entry.Topic, e.entry.Key, e.entry.Order()
	}
	return it
}

// part is one of the two parts of an outbox.
type part[E any] struct {
	list func(o Outbox, ctx context.Context, after uint64, limit int) ([]E, error)
	see  func(*E) seen
	// missing is the error for an entry that it does not have.
	missing error
}

func quarantined() part[outbox.Quarantined] {
	return part[outbox.Quarantined]{Outbox.Quarantined, func(q *outbox.Quarantined) seen {
		return seen{q.Seq, q.Time, q.Reason, q.Entry, len(q.Raw)}
	}, ErrNotQuarantined}
}

func waiting() part[outbox.Waiting] {
	return part[outbox.Waiting]{Outbox.Waiting, func(w *outbox.Waiting) seen {
		return seen{w.Seq, w.Accepted, w.Reason, w.Entry, 0}
	}, ErrNotWaiting}
}

func pageOf[E any](ctx context.Context, o *Operator, p part[E], q EntryQuery) (page []E, next Cursor, err error) {
	after, err := o.checkEntries(&q.Criteria, string(q.Cursor), q.Limit, MaxPage)
	if err != nil {
		return nil, "", err
	}
	size := 0
	behind, more, err := p.each(ctx, o.o.Outbox, &q.Criteria, after, func(e *E, s *seen) (bool, error) {
		if len(page) == cmp.Or(q.Limit, DefaultPage) || size+s.size() > DefaultPageBytes && len(page) > 0 {
			return false, nil
		}
		size += s.size()
		page = append(page, *e)
		return true, nil
	})
	if more {
		next = Cursor(strconv.FormatUint(behind, 10))
	}
	return page, next, err
}

// checkEntries returns all problems of a call, joined, and the Seq after which it begins.
func (o *Operator) checkEntries(c *EntryCriteria, at string, limit, most int) (after uint64, err error) {
	err = c.validate()
	if at != "" {
		var bad error
		if after, bad = strconv.ParseUint(at, 10, 64); bad != nil {
			err = errors.Join(err, fmt.Errorf("%w: the cursor is not one of the outbox", ErrBadRequest))
		}
	}
	if limit < 0 || limit > most {
		err = errors.Join(err, fmt.Errorf("%w: limit is %d, want 0 to %d", ErrBadRequest, limit, most))
	}
	if o.o.Outbox == nil {
		err = errors.Join(err, lacks("outbox"))
	}
	return after, err
}

// entryPage is how many entries are read at once; their payloads are in memory meanwhile.
const entryPage = 50

// each calls do with the entries that match, until it returns false for one. It returns the Seq
// after which to go on, and whether there may be more.
func (p part[E]) each(
	ctx context.Context, from Outbox, c *EntryCriteria, after uint64, do func(*E, *seen) (bool, error),
) (behind uint64, more bool, err error) {
	for read := 0; read < maxScan; {
		page, err := p.list(from, ctx, after, entryPage)
		if err != nil || len(page) == 0 {
			return after, err != nil, err
		}
		for i := range page {
			s := p.see(&page[i])
			if c.matches(&s) {
				if taken, err := do(&page[i], &s); !taken || err != nil {
					return after, true, err
				}
			}
			after = s.seq
		}
		read += len(page)
	}
	return after, true, nil
}

// named calls do with the entries that have these numbers, like each.
func (p part[E]) named(
	ctx context.Context, from Outbox, seqs []uint64, after uint64, j *job, do func(*E, *seen) (bool, error),
) (behind uint64, more bool, err error) {
	seqs = slices.Compact(slices.Sorted(slices.Values(seqs)))
	for _, seq := range seqs {
		if seq <= after {
			continue
		}
		page, err := p.list(from, ctx, seq-1, 1)
		if err != nil {
			return after, true, err
		}
		var looked bool
		if len(page) == 0 || p.see(&page[0]).seq != seq {
			looked, err = j.do(ctx, item{seq: seq}, p.missing, nil)
		} else {
			s := p.see(&page[0])
			looked, err = do(&page[0], &s)
		}
		if err != nil || !looked {
			return after, true, err
		}
		after = seq
	}
	return after, false, nil
}

// EntryBulk selects entries of an outbox, and bounds an operation on them. Exactly one of Seqs,
// Criteria and All must select entries. Criteria and All leave entries alone that were accepted, or
// quarantined, after the operation had begun.
type EntryBulk struct {
	// Seqs are those of the entries, at most 10,000, in any order.
	Seqs     []uint64
	Criteria EntryCriteria
	All      bool
	// DryRun, Limit, Rate, Within, Cursor and By are those of [Bulk].
	DryRun bool
	Limit  int
	Rate   float64
	Within time.Duration
	Cursor Cursor
	By     string
}

// RetryQuarantined returns quarantined entries to the outbox, which sends them before the
// waiting entries of their key.
func (o *Operator) RetryQuarantined(ctx context.Context, b EntryBulk) (Outcome, error) {
	return actOnEntries(ctx, o, quarantined(), "retry-quarantined", true, b, func(ctx context.Context, e *seen) error {
		return o.o.Outbox.RetryQuarantined(ctx, e.seq)
	})
}

// DeleteQuarantined deletes quarantined entries.
func (o *Operator) DeleteQuarantined(ctx context.Context, b EntryBulk) (Outcome, error) {
	return actOnEntries(ctx, o, quarantined(), "delete-quarantined", true, b, func(ctx context.Context, e *seen) error {
		return o.o.Outbox.DeleteQuarantined(ctx, e.seq)
	})
}

// RetryWaiting sends the first entries of keys at once that wait for the end of a pause after a
// failure. An entry whose key has no pause is [ErrNotPaused]: it waits for its turn or for the
// connection.
func (o *Operator) RetryWaiting(ctx context.Context, b EntryBulk) (Outcome, error) {
	tried := make(map[string]bool)
	return actOnEntries(ctx, o, waiting(), "retry-waiting", true, b, func(ctx context.Context, e *seen) error {
		key := e.entry.Order()
		if tried[key] {
			return nil
		}
		n, err := o.o.Outbox.RetryWaiting(ctx, key)
		if err == nil && n == 0 {
			return ErrNotPaused
		}
		tried[key] = err == nil
		return err
	})
}

// DeleteWaiting deletes waiting entries without sending them. An entry that was sent already and
// waits for its acknowledgement is [ErrSending], and stays. One that another process has read
// from a shared outbox may still be sent.
func (o *Operator) DeleteWaiting(ctx context.Context, b EntryBulk) (Outcome, error) {
	return actOnEntries(ctx, o, waiting(), "delete-waiting", false, b, func(ctx context.Context, e *seen) error {
		sent, err := o.o.Outbox.DeleteWaiting(ctx, e.seq)
		switch {
		case err != nil:
			return err
		case len(sent) > 0:
			return ErrSending
		case e.reason != "": // the next one of the key need not wait for the end of its pause
			_, err = o.o.Outbox.RetryWaiting(ctx, e.entry.Order())
		}
		return err
	})
}

// actOnEntries carries out an operation and reports it to the audit. An entry that fails holds
// those behind it with its key if ordered is set. Those that are younger than the operation are
// left alone, unless they are named.
func actOnEntries[E any](
	ctx context.Context, o *Operator, p part[E], name string, ordered bool, b EntryBulk, act func(ctx context.Context, e *seen) error,
) (Outcome, error) {
	begin := time.Now()
	c, cursorErr := parsePosition(b.Cursor)
	after, err := o.checkEntries(&b.Criteria, c.After, b.Limit, MaxBulk)
	if !one(len(b.Seqs) > 0, b.Criteria != EntryCriteria{}, b.All) || len(b.Seqs) > MaxIDs || !(b.Rate >= 0) {
		err = errors.Join(err, fmt.Errorf("%w: want one of seqs (at most %d), criteria, or all, and a rate of 0 or more", ErrBadRequest, MaxIDs))
	}
	if err = errors.Join(cursorErr, err); err != nil {
		return Outcome{}, err
	}
	j, until := newJob(b.Limit, b.Rate, b.Within, b.DryRun), c.began()
	j.hold(c)
	one := func(_ *E, e *seen) (bool, error) {
		if e.at.After(until) && len(b.Seqs) == 0 {
			return true, nil
		}
		it := e.item()
		if !ordered {
			it.ordered = ""
		}
		return j.do(ctx, it, nil, func(ctx context.Context) error { return act(ctx, e) })
	}
	var more bool
	if len(b.Seqs) > 0 {
		after, more, err = p.named(ctx, o.o.Outbox, b.Seqs, after, j, one)
	} else {
		after, more, err = p.each(ctx, o.o.Outbox, &b.Criteria, after, one)
	}
	if more {
		j.outcome.Next = j.cursor(strconv.FormatUint(after, 10), c.Until)
	}
	o.audited(Action{
		Name: name, By: deadletter.Editor(b.By), Time: begin, IDs: len(b.Seqs), DryRun: b.DryRun, Outcome: j.outcome, Err: err,
	})
	return j.outcome, err
}
