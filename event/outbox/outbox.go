// Package outbox keeps messages on this side until the broker has them. A
// publish through an outbox is accepted once its [Store] has it, also while the
// broker is down; a relay sends what the store holds and deletes what the
// broker acknowledged.
//
// Stores are in packages of their own, so that a service links only the one it
// chooses: outboxfile (a file on disk), outboxsql (a table, in the caller's
// transaction), and [NewMemory] for tests and development.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// ErrFull is the error of an Append that the bound of the store does not
// permit. Nothing of that call was accepted.
var ErrFull = errors.New("outbox: full")

// ErrClosed is the error of every method of a closed store.
var ErrClosed = errors.New("outbox: closed")

// ErrNotHolder is the error of Read and Hold of a store that several processes
// share, while another of them relays, and of a Flush while another relay sends.
var ErrNotHolder = errors.New("outbox: another relay sends")

// ErrQuarantineFull is the error of a Quarantine that its bound does not
// permit. The entry stays where it is.
var ErrQuarantineFull = errors.New("outbox: quarantine is full")

// ErrQuarantineShare is the error of a Quarantine that would take more than the
// share of one key, see [QuarantineUsage]; it is an [ErrQuarantineFull], too. The
// entry stays where it is, and those of other keys may have room.
var ErrQuarantineShare = fmt.Errorf("%w for one key", ErrQuarantineFull)

// BusyError is the error of a Delete or Quarantine that has done all but Seqs, on
// which somebody else works in a transaction of the database. They may be asked
// for again later, and hold up nobody else until then.
type BusyError struct{ Seqs []uint64 }

func (e *BusyError) Error() string {
	return fmt.Sprintf("outbox: %d entries are locked by others, the first is %d", len(e.Seqs), e.Seqs[0])
}

// Entry is one message in an outbox.
type Entry struct {
	message.Message
	// Seq orders the entries of a store. It is given by Append, grows, and is
	// never used again.
	Seq uint64
	// ID identifies the message wherever it goes; it stays the same however
	// often it is sent. Required: see [NewID].
	ID string
	// Key names the order that the entry belongs to: entries of one key are
	// sent in the order of Seq. "" is the topic.
	Key string
	// RetryUnrouted is for how long after Accepted the entry is sent again when
	// the broker took it although no subscription matches it; 0 takes that as
	// its delivery. The relay applies it.
	RetryUnrouted time.Duration
	// Accepted is when the store took it.
	Accepted time.Time
}

// Size is what the entry counts for in [Stats]: the bytes of its payload,
// topic, key, headers and other texts.
func (e *Entry) Size() int {
	n := len(e.Payload) + len(e.Topic) + len(e.Key) + len(e.ID) +
		len(e.ContentType) + len(e.ResponseTopic) + len(e.CorrelationData)
	for _, h := range e.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Order is the key that the entry is ordered by: Key, or the topic.
func (e *Entry) Order() string {
	if e.Key != "" {
		return e.Key
	}
	return e.Topic
}

// Validate reports what every store refuses: an entry without id or topic.
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

// Quarantine is the part of a [Store] that keeps, for an operator, entries that
// cannot be sent.
type Quarantine interface {
	// Quarantine takes an entry that can never be sent out of the way of the
	// others, with the reason, of which 1,024 bytes are kept. It stays for an
	// operator, and does not count for the bounds of what waits. It is
	// [ErrQuarantineFull] at the bound of the quarantine, and [ErrQuarantineShare]
	// when the key of the entry has its share of that; it is no error when the
	// entry is gone, or quarantined already. Of a store in a database it may be a
	// [BusyError].
	Quarantine(ctx context.Context, seq uint64, reason string) error
	// Quarantined returns up to limit quarantined entries with Seq > after, in
	// order of Seq.
	Quarantined(ctx context.Context, after uint64, limit int) ([]Quarantined, error)
	// Requeue puts quarantined entries back, with the Seq and ID that they had:
	// all of them, or none with [ErrFull] beyond the bound of what waits. Each
	// goes before the entries of its key that still wait, and after those that
	// were sent while it was quarantined. It is no error when one is gone. A relay
	// finds them when it next reads the store from the start.
	Requeue(ctx context.Context, seqs ...uint64) error
	// Discard removes quarantined entries for good; it is no error when they are
	// gone already.
	Discard(ctx context.Context, seqs ...uint64) error
}

// Store keeps entries until they are deleted. All methods are safe for
// concurrent use, and fail with [ErrClosed] after Close. One that may be given to
// several brokers or servers of a process is a [Claimer], too; all of this module
// are.
type Store interface {
	Quarantine
	// Append returns nil once every entry is durable, as far as the store is:
	// all of them or none. It sets Seq and Accepted. Beyond the bound it is
	// [ErrFull] at once. A store of SQL uses the transaction in ctx, if there
	// is one (package sqltx); the entries are there when that commits.
	Append(ctx context.Context, entries ...*Entry) error
	// Read returns up to limit entries with Seq > after, in order of Seq. It may
	// return fewer to spare memory, and none only when there are none.
	// Quarantined entries are left out; one that cannot be decoded is
	// quarantined by this, or left out where it is when the quarantine has no room.
	// Entries whose [Entry.Order] is among without may be left out, so that many
	// of them need not be read only to be passed by. Of a store that several
	// processes share it is [ErrNotHolder] while another one relays.
	Read(ctx context.Context, after uint64, limit int, without ...string) ([]*Entry, error)
	// Delete removes entries; it is no error when they are gone already. Of a store
	// in a database it may be a [BusyError].
	Delete(ctx context.Context, seqs ...uint64) error
	// Hold takes or renews the right to relay, which Read needs, and returns
	// until when this process has it, by its own clock. It is [ErrNotHolder] while
	// another process has it, and the zero time for a store that is not shared. It
	// may be asked for before each Read: it is cheap while the right is fresh.
	Hold(ctx context.Context) (until time.Time, err error)
	// Yield gives the right to relay to whoever asks for it next. Without it
	// nothing happens.
	Yield(ctx context.Context) error
	// Appended receives when entries may have come since the last receive: a
	// hint, of capacity 1. A nil channel means that nothing tells, and the
	// relay looks every PollInterval.
	Appended() <-chan struct{}
	// Stats is a snapshot. It may be asked for often.
	Stats(ctx context.Context) (Stats, error)
	// Close releases what the store holds; the entries stay.
	Close() error
}

// Counter is an optional part of a [Store] that knows in memory how much waits.
type Counter interface {
	// Waiting is how many entries wait, those included that are being appended. It
	// costs next to nothing.
	Waiting() int
}

// Stats is a snapshot of a [Store].
type Stats struct {
	// Depth is how many entries wait, Bytes the size of their payloads, topics
	// and headers.
	Depth int
	Bytes int64
	// MaxDepth and MaxBytes are the bounds; 0 is none.
	MaxDepth int
	MaxBytes int64
	// Oldest is when the oldest waiting entry was accepted; zero without one.
	Oldest time.Time
	// Quarantined is how many entries are kept that can never be sent, and
	// MaxQuarantined how many may be; 0 is no bound.
	Quarantined, MaxQuarantined int
}

// Quarantined is an entry that can never be sent, as its store keeps it.
type Quarantined struct {
	Seq uint64
	// Time is when it was quarantined; zero when that was not noted.
	Time   time.Time
	Reason string
	// Entry is nil when it cannot be decoded.
	Entry *Entry
	// Raw is the record as a file has it; nil in other stores.
	Raw []byte
}

// Fill is how full the store is, between 0 and 1, by the bound that is nearer.
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

// Age is how long the oldest entry has been waiting; 0 without one.
func (s Stats) Age(now time.Time) time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.Oldest))
}
