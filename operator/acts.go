package operator

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// act is a bulk operation on letters.
type act struct {
	name  string
	state deadletter.State
	// ordered holds the letters behind one of their key that failed.
	ordered bool
	// check returns why an operation would fail; it may be nil.
	check func(l *deadletter.Letter) error
	do    func(ctx context.Context, store deadletter.Store, l *deadletter.Letter) error
}

// Replay publishes dead letters again as they came, and deletes each once the broker has it, see
// [deadletter.ReplayLetter]. Letters of one key are replayed oldest first. One that fails holds
// those behind it, and nothing else; that holds for the calls that continue this one, too. A
// letter whose message fails again is a new one, which this operation does not take.
//
// The error is that of the store or the context, [ErrBadRequest], [ErrTooManyFailures], or that
// there is no connection; everything else is a problem of one letter.
func (o *Operator) Replay(ctx context.Context, b Bulk) (Outcome, error) {
	return o.bulk(ctx, b, act{
		name: "replay", state: deadletter.Dead, ordered: true,
		check: func(l *deadletter.Letter) error { return replayable(l, b.Confirmed) },
		do: func(ctx context.Context, store deadletter.Store, l *deadletter.Letter) error {
			return deadletter.ReplayLetter(ctx, store, o.o.Source.PublishLetter, l, b.Confirmed)
		},
	})
}

// replayable finds what deadletter.ReplayLetter would refuse.
func replayable(l *deadletter.Letter, confirmed bool) error {
	switch {
	case l.Omitted != (deadletter.Omitted{}):
		return fmt.Errorf("%w: %v", deadletter.ErrOmitted, l.Omitted)
	case l.Topic == "":
		return fmt.Errorf("%w: %s", deadletter.ErrDamaged, l.Reason)
	case l.Suspect != "" && !confirmed:
		return fmt.Errorf("%w: %s", deadletter.ErrSuspect, l.Suspect)
	}
	return nil
}

// Delete deletes dead letters without handling them.
func (o *Operator) Delete(ctx context.Context, b Bulk) (Outcome, error) {
	return o.bulk(ctx, b, act{name: "delete", state: deadletter.Dead, do: remove})
}

func remove(ctx context.Context, store deadletter.Store, l *deadletter.Letter) error {
	return store.Delete(ctx, l.ID)
}

// Archive hands dead letters to the archiver: each is deleted once the archiver has it. Without an
// archiver it wraps [ErrUnavailable].
func (o *Operator) Archive(ctx context.Context, b Bulk) (Outcome, error) {
	if o.o.Archiver == nil {
		return Outcome{}, lacks("archive")
	}
	return o.bulk(ctx, b, act{
		name: "archive", state: deadletter.Dead,
		do: func(ctx context.Context, store deadletter.Store, l *deadletter.Letter) error {
			called, err := deadletter.WithClaim(ctx, store, l.ID, func(ctx context.Context) error {
				if err := o.o.Archiver.Add(ctx, l); err != nil {
					return err
				}
				return store.Delete(context.WithoutCancel(ctx), l.ID)
			})
			if err == nil && !called {
				return deadletter.ErrClaimed
			}
			return err
		},
	})
}

// RetryParked has parked messages handled at once instead of after their pause, if this process
// handles them. Those that wait behind another one are [ErrNotNext].
func (o *Operator) RetryParked(ctx context.Context, b Bulk) (Outcome, error) {
	if o.o.Parked == nil {
		return Outcome{}, lacks("parked messages")
	}
	return o.bulk(ctx, b, act{
		name: "retry-parked", state: deadletter.Parked,
		do: func(ctx context.Context, _ deadletter.Store, l *deadletter.Letter) error {
			n, err := o.o.Parked.RetryParked(ctx, l.ID)
			if err == nil && n == 0 {
				return ErrNotNext
			}
			return err
		},
	})
}

// DeleteParked deletes parked messages; those behind them have their turn. A message whose handler
// is running is handled to the end.
func (o *Operator) DeleteParked(ctx context.Context, b Bulk) (Outcome, error) {
	return o.bulk(ctx, b, act{
		name: "delete-parked", state: deadletter.Parked,
		do: func(ctx context.Context, store deadletter.Store, l *deadletter.Letter) error {
			return o.release(ctx, l.ID, store.Delete(ctx, l.ID))
		},
	})
}

// release has the message behind one that is no longer parked handled at once, if this process
// handles it; another one finds out at the end of its pause. It returns err.
func (o *Operator) release(ctx context.Context, id string, err error) error {
	if err == nil && o.o.Parked != nil {
		_, _ = o.o.Parked.RetryParked(ctx, id) // not started: its pause counts
	}
	return err
}

// DeadLetterParked turns parked messages into dead letters, with their ids; those behind them have
// their turn. A message whose handler is running is handled to the end, and its letter is
// deleted if that succeeds.
func (o *Operator) DeadLetterParked(ctx context.Context, b Bulk) (Outcome, error) {
	return o.bulk(ctx, b, act{
		name: "dead-letter-parked", state: deadletter.Parked,
		do: func(ctx context.Context, store deadletter.Store, l *deadletter.Letter) error {
			l.State, l.Owner, l.Time, l.Until = deadletter.Dead, "", time.Now(), time.Time{}
			return o.release(ctx, l.ID, store.Put(ctx, l))
		},
	})
}

// bulk carries out an operation and reports it to the audit.
func (o *Operator) bulk(ctx context.Context, b Bulk, a act) (out Outcome, err error) {
	begin := time.Now()
	c, cursorErr := parsePosition(b.Cursor)
	if err := errors.Join(b.validate(o.o), cursorErr); err != nil {
		return Outcome{}, err
	}
	store, err := o.o.Source.DeadLetters()
	if err != nil {
		return Outcome{}, err
	}
	j := newJob(b.Limit, b.Rate, b.Within, b.DryRun)
	j.hold(c)
	run := walk
	if len(b.IDs) > 0 {
		run = walkIDs
	}
	err = run(ctx, store, &b, a, j, c)
	o.audited(Action{
		Name: a.name, By: deadletter.Editor(b.By), Time: begin, IDs: len(b.IDs), DryRun: b.DryRun, Outcome: j.outcome, Err: err,
	})
	return j.outcome, err
}

// one has one letter done.
func (a act) one(ctx context.Context, store deadletter.Store, j *job, l *deadletter.Letter) (looked bool, err error) {
	it := itemOf(l)
	if !a.ordered {
		it.ordered = ""
	}
	var check error
	if a.check != nil {
		check = a.check(l)
	}
	return j.do(ctx, it, check, func(ctx context.Context) error { return a.do(ctx, store, l) })
}

// walk has every selected letter done that is not younger than the operation.
func walk(ctx context.Context, store deadletter.Store, b *Bulk, a act, j *job, c position) error {
	var ended error
	s := scan{store: store, state: a.state, criteria: &b.Criteria, after: c.After, over: j.over}
	more, err := s.run(ctx, func(l *deadletter.Letter) bool {
		if l.ID > c.Until && uuid.Validate(l.ID) == nil {
			return true
		}
		looked, err := a.one(ctx, store, j, l)
		if ended = err; looked && err != nil {
			s.after = l.ID
		}
		return looked && err == nil
	})
	if j.outcome.Incomplete = s.incomplete; more {
		j.outcome.Next = j.cursor(s.after, c.Until)
	}
	return cmp.Or(ended, err)
}

// walkIDs has the letters with the given ids done, oldest first.
func walkIDs(ctx context.Context, store deadletter.Store, b *Bulk, a act, j *job, c position) error {
	ids := slices.Compact(slices.Sorted(slices.Values(b.IDs)))
	at, found := slices.BinarySearch(ids, c.After)
	if found {
		at++
	}
	after := c.After
	for _, id := range ids[at:] {
		looked, err := a.named(ctx, store, j, id)
		if looked {
			after = id
		}
		if !looked || err != nil {
			j.outcome.Next = j.cursor(after, c.Until)
			return err
		}
	}
	return nil
}

// named has the letter with an id done.
func (a act) named(ctx context.Context, store deadletter.Store, j *job, id string) (looked bool, err error) {
	l, err := store.Get(ctx, id)
	refused := err
	switch {
	case errors.Is(err, deadletter.ErrNotFound):
	case err != nil:
		return false, fmt.Errorf("%s: %w", id, err)
	case l.State == a.state:
		return a.one(ctx, store, j, l)
	case l.State == deadletter.Parked:
		refused = deadletter.ErrParked
	default:
		refused = ErrNotParked
	}
	return j.do(ctx, item{id: id}, refused, nil)
}

// Edited is a new payload for a letter.
type Edited struct {
	// Payload replaces the payload, as it is. Text is an alternative: JSON that is encoded by
	// the declared message of the operation, or that replaces JSON. Only one may be set.
	Payload []byte
	Text    string
	// ContentType replaces that of the message, if set.
	ContentType string
	// Confirmed includes a suspect letter.
	Confirmed bool
	// DryRun changes nothing; the result is whether the new payload can be encoded.
	DryRun bool
	// By is the name of the person who edited it. Required: it stays with the message.
	By string
}

// ReplayEdited publishes a dead letter with another payload and deletes it once the broker has
// it. On MQTT 5 the message carries the name of the editor, the time, and the hash of the original
// payload, so that its letter, should it fail again, has [deadletter.Edit]; the audit has it in any
// case. Older letters of the key are not replayed before it. The errors are those of
// [deadletter.ReplayLetter], [deadletter.ErrNotFound], [deadletter.ErrParked] and
// [ErrBadRequest].
func (o *Operator) ReplayEdited(ctx context.Context, id string, e Edited) error {
	store, err := o.store()
	if err != nil {
		return err
	}
	if deadletter.Editor(e.By) == "" {
		return fmt.Errorf("%w: an edit needs the name of its editor", ErrBadRequest)
	}
	l, err := store.Get(ctx, id)
	if err != nil {
		return err
	}
	if l.State == deadletter.Parked {
		return deadletter.ErrParked
	}
	edit, err := o.edit(l, e)
	if err = cmp.Or(err, replayable(l, e.Confirmed)); err != nil {
		return err
	}
	if !e.DryRun {
		err = deadletter.ReplayLetter(ctx, store, o.o.Source.PublishLetter, l, e.Confirmed)
	}
	outcome := Outcome{Selected: 1}
	switch {
	case err != nil:
		outcome.Failed = 1
	case !e.DryRun:
		outcome.Done = 1
	}
	o.audited(Action{Name: "replay-edited", By: edit.By, Time: edit.Time, IDs: 1, DryRun: e.DryRun, Outcome: outcome, Edit: edit, Err: err})
	return err
}

// edit changes the payload of a letter.
func (o *Operator) edit(l *deadletter.Letter, e Edited) (deadletter.Edit, error) {
	payload := e.Payload
	if e.Text != "" {
		if len(payload) > 0 {
			return deadletter.Edit{}, fmt.Errorf("%w: want a payload or a text, not both", ErrBadRequest)
		}
		var err error
		if payload, err = o.decoder.Encode(payloadOf(l), e.Text); err != nil {
			return deadletter.Edit{}, fmt.Errorf("%w: %w", ErrBadRequest, err)
		}
	}
	sum := sha256.Sum256(l.Payload)
	edit := deadletter.Edit{By: deadletter.Editor(e.By), Time: time.Now().UTC(), SHA256: hex.EncodeToString(sum[:])}
	if earlier := l.Replayed.Edit.SHA256; earlier != "" {
		edit.SHA256 = earlier
	}
	l.Payload, l.ContentType, l.Replayed.Edit = payload, cmp.Or(e.ContentType, l.ContentType), edit
	return edit, nil
}
