// Package deadletter keeps the messages that their handlers could not handle,
// where an operator sees them. Nothing is acknowledged to the broker before its
// letter is safe in a [Store], and no letter is dropped unless somebody asks.
//
// Stores are in packages of their own: deadletterfile, deadlettersql. The store
// of last resort keeps each letter as a retained message at the broker and is
// part of package transport/mqtt, as it needs a connection.
package deadletter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// ErrFull is the error of a Put beyond the bound of the store: the message is
// not acknowledged, and tried again with growing pauses.
var ErrFull = errors.New("deadletter: store is full")

// ErrNotFound is the error of Get for a letter that is not there.
var ErrNotFound = errors.New("deadletter: no such letter")

// ErrUnfit is the error of a Put that the store refuses for what the letter is,
// and would refuse later: too large, or a text that it cannot keep. The letter
// is stored smaller then, see [Letter.Smaller]. From the function that Replay
// publishes with it lets the replay go on with the next letter.
var ErrUnfit = errors.New("deadletter: the letter is not taken as it is")

// ErrIncomplete is the error of List and Stats beside what was found, when there
// may be more letters that could not be read now: a page may lack letters, and a
// count is a lower bound. Retained letters have it, when a broker has more of them
// than it sends. Replay and Drop take what was found and return it too.
var ErrIncomplete = errors.New("deadletter: not all letters could be read")

// State says what happens with a [Letter].
type State string

// The states.
const (
	// Dead letters wait for an operator: replay or drop.
	Dead State = "dead"
	// Parked letters are handled again by the service itself, with growing
	// pauses and in order, while their key is held: whatever arrives for that
	// key is parked behind them.
	Parked State = "parked"
)

// Letter is a message that was not handled, and why.
type Letter struct {
	// Message is as it arrived, except that Expiry is what was left of it.
	message.Message
	// ID is the letter's own, in the order of time (UUIDv7). Required.
	ID string
	// State is [Dead] or [Parked].
	State State
	// EventID is the id of the message, "" without one.
	EventID string
	// Filter is the topic filter of the subscription whose handler failed, Key
	// the order that the message belongs to ("" is none), and Owner the client
	// id of the process that holds a parked letter.
	Filter, Key, Owner string
	// Service names the service.
	Service string
	// Reason is the last error, cut to 1 KiB, without control characters.
	Reason string
	// Attempts is how often the handler ran.
	Attempts int
	// Received is when the message arrived, Time when the letter was written
	// last.
	Received, Time time.Time
	// Until is when a parked letter should have become a dead one; the zero time
	// is not known, as of dead ones.
	Until time.Time
	// Omitted says what of the message is not here; the zero value is nothing.
	Omitted Omitted
	// MAC is the signature that a letter came with which others could have written,
	// see [Keys]; "" is none. Stores do not keep it.
	MAC string
	// Suspect says why the letter may not be what this service wrote: it is from
	// where others may write, and something of it does not fit. Replay leaves such a
	// letter, unless somebody confirms it; see [ErrSuspect]. "" is nothing.
	Suspect string
}

// Query selects letters.
type Query struct {
	// State, Owner and Filter must be equal when they are set.
	State  State
	Owner  string
	Filter string
	// OverAt selects the parked letters whose time was over then, see
	// [Letter.Over]; the zero time selects by the rest.
	OverAt time.Time
	// After is the ID of the last letter of the page before; "" is the first
	// page.
	After string
	// Limit is the size of a page; 0 is 100.
	Limit int
	// Bytes is the size of a page in bytes, by [Letter.Size]; 0 is 8 MiB. A page
	// ends before the letter that goes beyond it, but has one letter at least: one
	// that has fewer than Limit is not the last, one that has none is.
	Bytes int64
}

// Stats is a snapshot of a [Store].
type Stats struct {
	// Dead and Parked count letters.
	Dead, Parked int
	// Max is the bound of their sum; 0 is none.
	Max int
	// Bytes is what they take, by [Letter.Size] or in a file, and MaxBytes the bound of
	// it; 0 is none. A store that does not count bytes has 0 for both.
	Bytes, MaxBytes int64
}

// Store keeps letters. All methods are safe for concurrent use.
type Store interface {
	// Put returns nil once the letter is durable. A letter of the same ID is
	// replaced, which is how a parked one becomes dead, and never refused for
	// want of room. Beyond the bound it is [ErrFull], beyond the share of its origin
	// [ErrShare], and [ErrUnfit] for a letter that the store never takes as it is;
	// every other error means not now.
	Put(ctx context.Context, l *Letter) error
	// Get returns one letter, or [ErrNotFound].
	Get(ctx context.Context, id string) (*Letter, error)
	// List returns letters in order of ID, oldest first; beside a page its error
	// is [ErrIncomplete], if any.
	List(ctx context.Context, q Query) ([]*Letter, error)
	// Delete removes letters; it is no error when they are gone already.
	Delete(ctx context.Context, ids ...string) error
	// Stats is a snapshot; with [ErrIncomplete] its counts are lower bounds.
	Stats(ctx context.Context) (Stats, error)
	// Parks reports whether parked letters may be kept here: they are written
	// often, and read back in order at a start.
	Parks() bool
}

// clone copies what a caller may change.
func (l *Letter) clone() *Letter {
	c := *l
	c.Payload, c.CorrelationData, c.Headers = slices.Clone(l.Payload), slices.Clone(l.CorrelationData), slices.Clone(l.Headers)
	return &c
}

// Origin is whose share of the store the letter counts for: its topic, up to the
// level that the first wildcard of its filter stands for. That is what a broker's
// access rules guard: a device that may publish below devices/7/ has one share for
// all that it sends to a subscription of devices/+/#, whatever topics it makes up.
// Where the filter has no wildcard it is the whole topic, and where there is no
// filter, as for a message without a subscription, the first two levels.
func (l *Letter) Origin() string { return originOf(l.Topic, l.Filter) }

func originOf(name, filter string) string {
	levels := 2
	if filter != "" {
		levels = topic.GuardedLevels(filter)
	}
	return topic.Guarded(name, levels)
}

// Size is about what the letter takes in a store, in bytes: what it holds, and
// 256 for the rest. The bounds of stores count it.
func (l *Letter) Size() int64 {
	n := 256 + len(l.ID) + len(l.Payload) + len(l.CorrelationData) + len(l.Topic) + len(l.Reason) + len(l.ContentType) +
		len(l.ResponseTopic) + len(l.EventID) + len(l.Filter) + len(l.Key) + len(l.Owner) + len(l.Service) + len(l.Omitted.SHA256)
	for _, h := range l.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
