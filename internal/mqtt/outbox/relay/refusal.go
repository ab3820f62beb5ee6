package relay

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Refusal is how long an entry that the broker refuses is tried again: until After has
// passed since its first refusal in this process, or until it was refused Attempts times,
// whichever comes first. Then it is quarantined, and the later entries of its key are sent.
// Zero means no limit of that kind; if both are zero, the entry is quarantined at once.
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
		Err: c.err, Reason: c.reason, Unanswered: c.unanswered, Behind: l.skipped != 0 || l.excluded,
	}
}

// reports limits reports to one a minute.
type reports struct {
	last map[string]time.Time // by reason
	due  []ClosedKey
	// full and share are when it was last reported that the quarantine is full, and that a
	// key has used up its share.
	full, share time.Time
}

const (
	reportInterval = time.Minute
	maxReasons     = 64 // reasons beyond these count as one
)

func (t *reports) refused(k ClosedKey, now time.Time) {
	reason := k.Reason
	if k.Unanswered {
		reason = "\x00unanswered"
	}
	last, known := t.last[reason]
	if !known && len(t.last) >= maxReasons {
		reason = "\x00others"
		last, known = t.last[reason]
	}
	if known && now.Sub(last) < reportInterval {
		return
	}
	if t.last == nil {
		t.last = map[string]time.Time{}
	}
	t.last[reason] = now
	t.due = append(t.due, k)
}

// quarantineFull reports whether a quarantine without room is to be reported now.
func (t *reports) quarantineFull(err error, now time.Time) bool {
	last := &t.full
	if errors.Is(err, outbox.ErrQuarantineShare) {
		last = &t.share
	}
	if now.Sub(*last) < reportInterval {
		return false
	}
	*last = now
	return true
}
