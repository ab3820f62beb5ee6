package relay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Refusal is what a broker that refuses an entry means for it. The entry is
// tried again until it was refused for After, counted from its first refusal in
// this process, or Attempts times, whichever comes first; then it is
// quarantined, and the entries of its key that wait behind it go on. Zero is no
// limit of that kind, and both zero mean at once.
type Refusal struct {
	// Reason names the kind, as "NOT_AUTHORIZED": refusals are told once a minute
	// for each.
	Reason   string
	After    time.Duration
	Attempts int
}

// ClosedKey is a key that waits because its first entry failed, or, where a
// refusal is told, the key that it closed.
type ClosedKey struct {
	// Key is that of [outbox.Entry.Order]; Topic, ID and Seq are those of the first
	// entry. Topic and ID are shortened to 256 bytes.
	Key, Topic, ID string
	Seq            uint64
	// Since is when the key was closed, Attempts how often the entry was tried in
	// vain since then.
	Since    time.Time
	Attempts int
	// Err is the last failure, and Reason that of its [Refusal]; "" for a
	// failure that is none.
	Err    error
	Reason string
	// Unanswered is set when the broker did not acknowledge it: see
	// [Options.Unanswered].
	Unanswered bool
	// Behind is set when entries of the key are known to wait behind the first.
	Behind bool
}

// refused notes a refusal of an item, and returns an error when that was the
// last one. What is refused for the same reason and topic as the entries of its
// key before it, of which none went through meanwhile, is as old as those: a
// topic that is forbidden needs not be tried for After with each of its entries.
func (w *window) refused(it *item, ref Refusal, err error, now time.Time) error {
	l, topic := it.lane, short(it.entry.Topic)
	r := l.refusals
	if r == nil || r.topic != topic || r.reason != ref.Reason {
		r = &refusals{topic: topic, reason: ref.Reason, since: now}
		l.refusals = r
	}
	if it.alone || r.n == 0 { // not each of those that were in flight together
		r.n++
	}
	switch age := now.Sub(r.since); {
	case ref.After == 0 && ref.Attempts == 0:
		return err
	case ref.Attempts > 0 && r.n >= ref.Attempts, ref.After > 0 && age >= ref.After:
		return fmt.Errorf("refused %d times in %v: %w", r.n, age.Round(time.Second), err)
	}
	return nil
}

// closedKey is what an operator is told of a closed lane.
func (l *lane) closedKey() ClosedKey {
	c := l.closed
	return ClosedKey{
		Key: l.key, Topic: c.topic, ID: c.id, Seq: c.seq, Since: c.since, Attempts: c.attempts,
		Err: c.err, Reason: c.reason, Unanswered: c.silent, Behind: l.skipped != 0 || l.left,
	}
}

// tellings are what is told once a minute.
type tellings struct {
	last map[string]time.Time // by reason
	due  []ClosedKey
	// When it was told that the quarantine is full, and that one key has its share.
	full, share time.Time
}

const (
	tellEvery  = time.Minute
	maxReasons = 64 // beyond, all others are one
)

func (t *tellings) refused(k ClosedKey, now time.Time) {
	reason := k.Reason
	if k.Unanswered {
		reason = "\x00unanswered"
	}
	last, known := t.last[reason]
	if !known && len(t.last) >= maxReasons {
		reason = "\x00others"
		last, known = t.last[reason]
	}
	if known && now.Sub(last) < tellEvery {
		return
	}
	if t.last == nil {
		t.last = map[string]time.Time{}
	}
	t.last[reason] = now
	t.due = append(t.due, k)
}

// noRoom reports whether it is to be told now why the quarantine has no room.
func (t *tellings) noRoom(err error, now time.Time) bool {
	last := &t.full
	if errors.Is(err, outbox.ErrQuarantineShare) {
		last = &t.share
	}
	if now.Sub(*last) < tellEvery {
		return false
	}
	*last = now
	return true
}

// ClosedKeys returns up to limit keys that wait because an entry of theirs
// failed, those first that have waited longest. It may be asked for often, also
// before and after Run.
func (r *Relay) ClosedKeys(limit int) []ClosedKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []ClosedKey
	r.w.shut.oldest(func(l *lane) bool {
		if len(keys) >= limit {
			return false
		}
		keys = append(keys, l.closedKey())
		return true
	})
	return keys
}

// Requeue puts quarantined entries back into the store, as [outbox.Store.Requeue] does,
// and has them looked for at once. Requeue of the store alone is found too, by
// the next look at all that is in it, which is seldom while much is.
func (r *Relay) Requeue(ctx context.Context, seqs ...uint64) error {
	if err := r.store.Requeue(ctx, seqs...); err != nil {
		return err
	}
	r.mu.Lock()
	r.sweepNow = true
	r.mu.Unlock()
	r.wake()
	return nil
}
