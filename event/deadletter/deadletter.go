// Package deadletter stores messages that their handlers could not handle, so that an operator
// can inspect, replay or drop them. A message is acknowledged to the broker only after its
// letter is stored in a [Store]; letters are never dropped automatically.
//
// The stores are in separate packages: deadlettersql and deadletterfile. The default store,
// one retained message at the broker per letter, is part of package transport/mqtt, because it
// needs a connection.
package deadletter

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// ErrFull is the error of a Put when the store is full: the message is not acknowledged, and
// storing it is retried with growing pauses.
var ErrFull = errors.New("deadletter: store is full")

// ErrNotFound is the error of Get for a letter that does not exist.
var ErrNotFound = errors.New("deadletter: no such letter")

// ErrUnfit is the error of a Put for a letter that the store will never accept: it is too
// large or contains text that cannot be stored. A smaller form of the letter is then stored,
// see [Letter.Smaller]. If the publish function of Replay returns it, the replay continues
// with the next letter.
var ErrUnfit = errors.New("deadletter: the letter is not taken as it is")

// ErrIncomplete is returned by List and Stats in addition to their result if some letters
// could not be read: a page may lack letters, and counts are lower bounds. It occurs with
// retained letters, if a broker has more of them than it sends. Replay and Delete process the
// letters that were found and return it too.
var ErrIncomplete = errors.New("deadletter: not all letters could be read")

// State is the state of a [Letter].
type State string

// The states.
const (
	// Dead letters wait for an operator to replay or drop them.
	Dead State = "dead"
	// Parked letters are retried by the service itself, in order and with growing pauses.
	// Meanwhile their ordering key is held: later messages with that key are parked behind
	// them.
	Parked State = "parked"
)

// Letter is a message that was not handled, and why.
type Letter struct {
	// Message is the received message, except that Expiry is the remaining time.
	message.Message
	// ID is the id of the letter, a UUIDv7, so ids are in the order of time. Required.
	ID string
	// State is [Dead] or [Parked].
	State State
	// EventID is the message id, or "" if it has none.
	EventID string
	// Filter is the topic filter of the subscription whose handler failed. Key is the ordering
	// key of the message, or "". Owner is the client id of the process that retries a parked
	// letter.
	Filter, Key, Owner string
	// Operation is /pkg.Service/Method if the handler was registered by generated code, else "".
	Operation string
	// Service is the name of the service.
	Service string
	// Reason is the last error, truncated to 1 KiB, without control characters.
	Reason string
	// ErrorType classifies the last error, as OpenTelemetry's error.type: the reason of a Kratos
	// error, else the code of a gRPC status, else the type of the error in Go. "" is unknown.
	ErrorType string
	// Replayed describes earlier replays of the message.
	Replayed Replayed
	// Attempts is the number of times that the handler ran.
	Attempts int
	// Received is when the message arrived. Time is when the letter was last written.
	Received, Time time.Time
	// Until is when a parked letter becomes a dead one; zero if unknown or already dead.
	Until time.Time
	// Omitted describes which parts of the message are missing; the zero value means none.
	Omitted Omitted
	// MAC is the signature of a letter that was read from a place where other clients can
	// write, see [Keys]; "" if it has none. Stores do not keep it.
	MAC string
	// Suspect is the reason why this service may not have written the letter: it was read from
	// a place where other clients can write, and does not pass the checks. "" means that there
	// is no doubt. Replay skips suspect letters unless they are confirmed; see [ErrSuspect].
	Suspect string
}

// Query selects letters.
type Query struct {
	// State, Owner and Filter select letters with equal values, if set.
	State  State
	Owner  string
	Filter string
	// Fingerprint selects letters with an equal [Letter.Fingerprint], if set.
	Fingerprint string
	// OverAt selects parked letters whose time was over at that moment, see [Letter.Over]; the
	// zero time has no effect.
	OverAt time.Time
	// After is the ID of the last letter of the previous page; "" selects the first page.
	After string
	// Limit is the maximum number of letters in a page; 0 means 100.
	Limit int
	// Bytes is the maximum size of a page in bytes, by [Letter.Size]; 0 means 8 MiB. A page
	// has at least one letter, even if it is larger. A page with fewer letters than Limit is
	// not necessarily the last one; an empty page is.
	Bytes int64
}

// Stats is a snapshot of a [Store].
type Stats struct {
	// Dead and Parked are numbers of letters.
	Dead, Parked int
	// Max is the limit for their sum; 0 means no limit.
	Max int
	// Bytes is the total size of the letters, by [Letter.Size] or in a file. MaxBytes is its
	// limit; 0 means no limit. Both are 0 if a store does not count bytes.
	Bytes, MaxBytes int64
}

// Store stores letters. All methods are safe for concurrent use.
type Store interface {
	// Put stores a letter and returns nil once it is durable. It replaces a letter with the
	// same ID, even if the store is full; this is how a parked letter becomes dead. The error
	// is [ErrFull] if the store is full, [ErrShare] if the share of the letter's origin is
	// used up, and [ErrUnfit] if the store will never accept the letter. After any other error
	// a retry may succeed.
	Put(ctx context.Context, l *Letter) error
	// Get returns a letter, or [ErrNotFound].
	Get(ctx context.Context, id string) (*Letter, error)
	// List returns letters ordered by ID, oldest first. [ErrIncomplete] is returned together
	// with a page.
	List(ctx context.Context, q Query) ([]*Letter, error)
	// Delete deletes letters. It is not an error if they do not exist.
	Delete(ctx context.Context, ids ...string) error
	// Stats returns a snapshot. With [ErrIncomplete] its counts are lower bounds.
	Stats(ctx context.Context) (Stats, error)
	// Parks reports whether the store accepts parked letters, which are written often, and
	// read in order at start.
	Parks() bool
}

// clone returns a copy that shares nothing a caller may change.
func (l *Letter) clone() *Letter {
	c := *l
	c.Payload, c.CorrelationData, c.Headers = slices.Clone(l.Payload), slices.Clone(l.CorrelationData), slices.Clone(l.Headers)
	return &c
}

// Origin returns the origin of the letter, which has a share of the store: its topic up to and
// including the level of the first wildcard of its filter. These are the levels that the
// access rules of a broker protect. For example, a device that may publish under devices/7/
// has one share for everything it sends to a subscription of devices/+/#, whatever topics it
// uses. If the filter has no wildcard, the origin is the whole topic; if there is no filter,
// as for a message without a subscription, it is the first two levels.
func (l *Letter) Origin() string { return originOf(l.Topic, l.Filter) }

func originOf(name, filter string) string {
	levels := 2
	if filter != "" {
		levels = topic.GuardedLevels(filter)
	}
	return topic.Guarded(name, levels)
}

// Fingerprint identifies the cause that a letter has in common with others: 16 hexadecimal
// digits, made of its operation (else its filter), its error type and the pattern of its
// reason, see [Letter.Pattern]. Equal causes have equal fingerprints in every process and
// version.
func (l *Letter) Fingerprint() string { return fingerprint(l) }

// Pattern returns the beginning of the reason, with what differs from message to message
// replaced: words that contain a digit by "#", and quoted text by "…". So "order 17 not found"
// and "order 18 not found" have the same pattern.
func (l *Letter) Pattern() string { return pattern(l.Reason) }

// Size returns the approximate size of the letter in a store, in bytes: its contents, and 256
// for everything else. The bounds of stores use it.
func (l *Letter) Size() int64 {
	n := 256 + len(l.ID) + len(l.Payload) + len(l.CorrelationData) + len(l.Topic) + len(l.Reason) + len(l.ContentType) +
		len(l.ResponseTopic) + len(l.EventID) + len(l.Filter) + len(l.Key) + len(l.Owner) + len(l.Service) + len(l.Omitted.SHA256) +
		len(l.Operation) + len(l.ErrorType) + len(l.Replayed.String())
	for _, h := range l.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
