package relay

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Refusal is what a broker that refuses an entry means for it. The entry is
// tried again until it was refused for After, counted from its first refusal in
// this process, or Attempts times, whichever comes first; then it is
// quarantined, and the entries of its key that wait behind it go on. Zero is no
// limit of that kind, and both zero mean at once.
type Refusal struct {
	// Reason names the kind, such as "NOT_AUTHORIZED". Refusals are reported once a minute
	// for each Reason.
	Reason   string
	After    time.Duration
	Attempts int
}

// ClosedKey is a key that waits because its first entry failed. In a report of a refusal
// it is the key that the refusal closed.
type ClosedKey struct {
	// Key is that of [outbox.Entry.Order]; Topic, ID and Seq are those of the first
	// entry. Topic and ID are shortened to 256 bytes.
	Key, Topic, ID string
	Seq            uint64
	// Since is when the key was closed, and Attempts the number of failed attempts since
	// then.
	Since    time.Time
	Attempts int
	// Err is the last failure, and Reason that of its [Refusal], or "" if the failure is
	// not a refusal.
	Err    error
	Reason string
	// Unanswered is set when the broker did not acknowledge it: see
	// [Options.Unanswered].
	Unanswered bool
	// Behind is set when entries of the key are known to wait behind the first.
	Behind bool
}

// closedKey describes a closed lane for the health and the hooks.
func (l *lane) closedKey() ClosedKey {
	c := l.closed
	return ClosedKey{
		Key: l.key, Topic: c.topic, ID: c.id, Seq: c.seq, Since: c.since, Attempts: c.attempts,
		Err: c.err, Reason: c.reason, Unanswered: c.silent, Behind: l.skipped != 0 || l.left,
	}
}

// tellings has the reports that are made at most once a minute.
type tellings struct {
	last map[string]time.Time // by reason
	due  []ClosedKey
	// When it was last reported that the quarantine is full, and that one key has used up
	// its share.
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
