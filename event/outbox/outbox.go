// Package outbox stores messages locally until the broker has acknowledged them. A publish
// through an outbox succeeds once its [Store] has the message, even while the broker is
// unreachable. A relay sends the stored messages and deletes those that the broker
// acknowledged.
//
// The stores are in separate packages, so that a service links only the one it uses:
// outboxfile (a file on disk) and outboxsql (a table, in the transaction of the caller).
// [NewMemory] is for tests and development.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// ErrFull is the error of an Append that would exceed a limit of the store. No entry of that
// call was accepted.
var ErrFull = errors.New("outbox: full")

// ErrClosed is the error of every method of a closed store.
var ErrClosed = errors.New("outbox: closed")

// ErrNotHolder is the error of Read and Hold of a shared store while another process relays,
// and of Flush while another relay of this process sends.
var ErrNotHolder = errors.New("outbox: another relay sends")

// ErrQuarantineFull is the error of a Quarantine that would exceed a limit of the quarantine.
// The entry stays in place.
var ErrQuarantineFull = errors.New("outbox: quarantine is full")

// ErrQuarantineShare is the error of a Quarantine that would exceed the share of one key, see
// [QuarantineUsage]. It wraps [ErrQuarantineFull]. The entry stays in place; entries of other
// keys may have room.
var ErrQuarantineShare = fmt.Errorf("%w for one key", ErrQuarantineFull)

// BusyError is the error of a Delete or Quarantine that could not process the entries in Seqs,
// because other transactions of the database have locked them. All other entries were
// processed. Call again later for these; nothing else waits for them.
type BusyError struct{ Seqs []uint64 }

func (e *BusyError) Error() string {
	return fmt.Sprintf("outbox: %d entries are locked by other transactions, the first is %d", len(e.Seqs), e.Seqs[0])
}

// Entry is one message in an outbox.
type Entry struct {
	message.Message
	// Seq orders the entries of a store. It is assigned by Append in ascending order, and
	// never reused.
	Seq uint64
	// ID is the message id; it stays the same however often the entry is sent. Required: see
	// [NewID].
	ID string
	// Key is the ordering key: entries with the same key are sent in the order of Seq. ""
	// means the topic.
	Key string
	// RetryUnrouted is how long after Accepted the entry is sent again if the broker accepted
	// it although no subscription matches it. 0 means that it counts as delivered. The relay
	// implements this.
	RetryUnrouted time.Duration
	// Accepted is when the store accepted the entry; for one that was delayed, when it became a
	// waiting entry.
	Accepted time.Time
	// Due is when a delayed entry is to be sent, see [Delayer]; a time that has passed, or
	// zero, means at once. It is zero in waiting entries that the store returns.
	Due time.Time
}

// Size returns the size of the entry in bytes, as counted in [Stats]: its payload, topic, key,
// headers and other texts.
func (e *Entry) Size() int {
	n := len(e.Payload) + len(e.Topic) + len(e.Key) + len(e.ID) +
		len(e.ContentType) + len(e.ResponseTopic) + len(e.CorrelationData)
	for _, h := range e.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Order returns the key by which the entry is ordered: Key, or else the topic.
func (e *Entry) Order() string {
	if e.Key != "" {
		return e.Key
	}
	return e.Topic
}

// Validate returns an error for an entry without id or topic, which every store refuses.
func (e *Entry) Validate() error {
	var errs []error
	if e.ID == "" {
		errs = append(errs, errors.New("outbox: entry without id"))
	}
	if e.Topic == "" {
		errs = append(errs, errors.New("outbox: entry without topic"))
	}
	return errors.Join(errs...)
}

// Quarantine is the part of a [Store] that keeps entries that cannot be sent, for an operator.
type Quarantine interface {
	// Quarantine moves an entry that can never be sent out of the way of the others. The first
	// 1,024 bytes of the reason are kept. Quarantined entries do not count for the limits of
	// waiting entries. The error is [ErrQuarantineFull] if the quarantine is full, and
	// [ErrQuarantineShare] if the share of the entry's key is used up. A store in a database
	// may return a [BusyError]. It is not an error if the entry does not exist or is already
	// quarantined.
	Quarantine(ctx context.Context, seq uint64, reason string) error
	// Quarantined returns up to limit quarantined entries with Seq > after, ordered by Seq.
	Quarantined(ctx context.Context, after uint64, limit int) ([]Quarantined, error)
	// RetryQuarantined moves quarantined entries back, with their Seq and ID: all of them, or none with
	// [ErrFull] if a limit would be exceeded. An entry that was moved back is sent before the waiting
	// entries of its key; those sent while it was quarantined are ahead of it. It is not an
	// error if an entry does not exist. A relay finds these entries when it next reads the
	// store from the start.
	RetryQuarantined(ctx context.Context, seqs ...uint64) error
	// DeleteQuarantined deletes quarantined entries. It is not an error if they do not exist.
	DeleteQuarantined(ctx context.Context, seqs ...uint64) error
}

// Store stores entries until they are deleted. All methods are safe for concurrent use, and
// return [ErrClosed] after Close. A store that several brokers or servers of a process may
// share must also implement [Claimer], as all stores of this module do.
type Store interface {
	Quarantine
	// Append stores all entries or none, sets their Seq and Accepted, and returns nil once
	// they are as durable as the store permits. It returns [ErrFull] at once if a limit would
	// be exceeded. An SQL store uses the transaction in ctx if there is one (package sqltx);
	// the entries exist when it commits.
	Append(ctx context.Context, entries ...*Entry) error
	// Read returns up to limit entries with Seq > after, ordered by Seq. It may return fewer
	// to save memory, but returns none only if there are none. It skips quarantined entries.
	// It quarantines an entry that cannot be decoded, or skips it if the quarantine has no
	// room. Entries whose [Entry.Order] is listed in without may be skipped, so that they need
	// not be read in vast numbers for nothing. A shared store returns [ErrNotHolder] while
	// another process relays.
	Read(ctx context.Context, after uint64, limit int, without ...string) ([]*Entry, error)
	// Peek returns up to limit waiting entries with Seq > after, ordered by Seq, for a person: it
	// needs no right to relay and changes nothing. Like Read it may return fewer, but none only
	// if there are none. It leaves out entries that cannot be decoded.
	Peek(ctx context.Context, after uint64, limit int) ([]*Entry, error)
	// Delete deletes entries. It is not an error if they do not exist. A store in a database
	// may return a [BusyError].
	Delete(ctx context.Context, seqs ...uint64) error
	// Hold takes or renews the right to relay, which Read needs, and returns until when this
	// process has it, by its own clock. It returns [ErrNotHolder] while another process has
	// the right, and the zero time for a store that is not shared. It may be called before
	// each Read: it is cheap unless the right must be renewed.
	Hold(ctx context.Context) (until time.Time, err error)
	// Yield releases the right to relay, if this process has it.
	Yield(ctx context.Context) error
	// Appended returns a channel of capacity 1 that receives a hint when entries may have been
	// added since the last receive. A nil channel means that there are no hints, and the relay
	// polls every PollInterval.
	Appended() <-chan struct{}
	// Stats returns a snapshot. It may be called often.
	Stats(ctx context.Context) (Stats, error)
	// Close releases the resources of the store. The entries are kept.
	Close() error
}

// Counter is an optional part of a [Store] that has the number of waiting entries in memory.
type Counter interface {
	// Waiting returns the number of waiting entries, including those that are being appended.
	// It is very cheap.
	Waiting() int
}

// Stats is a snapshot of a [Store].
type Stats struct {
	// Depth is the number of waiting entries, Bytes their total [Entry.Size].
	Depth int
	Bytes int64
	// MaxDepth and MaxBytes are the limits; 0 means no limit.
	MaxDepth int
	MaxBytes int64
	// Oldest is when the oldest waiting entry was accepted; zero if none waits.
	Oldest time.Time
	// Quarantined is the number of quarantined entries, MaxQuarantined its limit; 0 means no
	// limit.
	Quarantined, MaxQuarantined int
	// Delayed is the number of delayed entries, DelayedBytes their total [Entry.Size]; neither
	// is included in Depth and Bytes. MaxDelayed and MaxDelayedBytes are the limits.
	Delayed         int
	DelayedBytes    int64
	MaxDelayed      int
	MaxDelayedBytes int64
	// NextDue is when the first delayed entry is due; zero if there is none.
	NextDue time.Time
}

// Waiting is a waiting entry, and why it waits.
type Waiting struct {
	*Entry
	// Reason is the last failure of the first entry of its key, because of which the key is
	// closed; "" if it waits for its turn.
	Reason string
}

// Quarantined is a quarantined entry.
type Quarantined struct {
	Seq uint64
	// Time is when the entry was quarantined; zero if unknown.
	Time   time.Time
	Reason string
	// Entry is nil if it cannot be decoded.
	Entry *Entry
	// Raw is the record in a file; nil in other stores.
	Raw []byte
}

// Fill returns how full the store is, between 0 and 1, by the limit that is closest.
func (s Stats) Fill() float64 {
	var f float64
	if s.MaxDepth > 0 {
		f = float64(s.Depth) / float64(s.MaxDepth)
	}
	if s.MaxBytes > 0 {
		f = max(f, float64(s.Bytes)/float64(s.MaxBytes))
	}
	return min(f, 1)
}

// Age returns how long the oldest entry has been waiting; 0 if none waits.
func (s Stats) Age(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.Oldest))
}
