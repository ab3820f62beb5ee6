package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// LetterSource is where dead letters are kept and published again. *broker/mqtt.Broker and
// *transport/mqtt.Server implement it.
type LetterSource interface {
	// DeadLetters returns the store in use.
	DeadLetters() (deadletter.Store, error)
	// PublishLetter publishes the message of a letter, marked with its Replayed, and returns
	// nil once the broker has acknowledged it. An error that is due to the message wraps
	// [deadletter.ErrUnfit].
	PublishLetter(ctx context.Context, l *deadletter.Letter) error
}

// Parked handles parked messages. *broker/mqtt.Broker and *transport/mqtt.Server implement it.
type Parked interface {
	// RetryParked ends the pauses of the keys whose oldest message has one of these ids, so
	// that they are handled at once, and returns how many keys that were. Messages behind
	// another one of their key, and those of other processes, are not counted.
	RetryParked(ctx context.Context, ids ...string) (int, error)
}

// Outbox is an outbox with its quarantine. *broker/mqtt.Broker and *transport/mqtt.Server
// implement it.
type Outbox interface {
	// Waiting lists up to limit waiting entries with a Seq beyond after, in that order.
	Waiting(ctx context.Context, after uint64, limit int) ([]outbox.Waiting, error)
	// RetryWaiting ends the pauses of keys ([outbox.Entry.Order]), and returns how many keys had
	// one.
	RetryWaiting(ctx context.Context, keys ...string) (int, error)
	// DeleteWaiting deletes waiting entries, and returns those that it left because they were
	// sent already.
	DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error)
	// Quarantined, RetryQuarantined and DeleteQuarantined are those of [outbox.Quarantine].
	Quarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error)
	RetryQuarantined(ctx context.Context, seqs ...uint64) error
	DeleteQuarantined(ctx context.Context, seqs ...uint64) error
}

// Subscriptions pauses and resumes subscriptions. *broker/mqtt.Broker and
// *transport/mqtt.Server implement it.
type Subscriptions interface {
	// Pause stops the handlers of the subscriptions with a name, an operation or a topic filter,
	// until Resume, and waits within ctx for those that run.
	Pause(ctx context.Context, name string, opts ...event.PauseOption) error
	// Resume ends a pause, or makes the next attempt of an open breaker at once.
	Resume(ctx context.Context, name string) error
	// Subscriptions returns all subscriptions by name.
	Subscriptions() []event.SubscriptionPause
}

// Options configures an [Operator]. Every part may be nil: calls that need it then fail with
// [ErrUnavailable].
type Options struct {
	// Source keeps and publishes dead letters.
	Source LetterSource
	// Parked retries parked messages at once. Listing and deleting them needs Source only.
	Parked Parked
	// Outbox has waiting and quarantined messages.
	Outbox Outbox
	// Subscriptions pauses subscriptions.
	Subscriptions Subscriptions
	// Retained reads and deletes what the broker retains.
	Retained Retained
	// Archiver takes archived letters.
	Archiver Archiver
	// Probe has the health of the clients.
	Probe *observe.Probe
	// Files are searched for the operation of a letter or a topic, to decode its payload, and
	// are those of Descriptors. Default: all files that are linked into the program, which have no
	// comments; see [OpenDescriptors].
	Files *protoregistry.Files
	// Audit is called after each operation that changes something, on the goroutine of the
	// caller, which waits for it. It must be safe for concurrent use.
	Audit func(Action)
}

// Action is an operation that was carried out, or attempted.
type Action struct {
	// Name is "replay", "replay-edited", "delete", "archive", "retry-parked", "delete-parked",
	// "dead-letter-parked", "retry-quarantined", "delete-quarantined", "retry-waiting",
	// "delete-waiting", "clear-retained", "pause" or "resume"; "publish" for a form of the web
	// console, and "login" for a refused login there.
	Name string
	// By is the name of the person who asked for it, see [Bulk]; printable, at most 64 bytes.
	By string
	// Time is when it began.
	Time time.Time
	// IDs is the number of ids that were given, 0 if criteria or everything were.
	IDs int
	// Topics are those of "clear-retained" and "publish".
	Topics []string
	// Subscription is the name of the subscriptions of "pause" and "resume".
	Subscription string
	// Why is the reason of "pause".
	Why string
	// DryRun is set if nothing was changed.
	DryRun bool
	// Outcome is what happened.
	Outcome Outcome
	// Edit describes the edit of "replay-edited".
	Edit deadletter.Edit
	// Err is the error that ended the operation, or nil.
	Err error
}

// Operator acts on dead letters, parked messages and quarantined ones. Create it with [New]. It
// is safe for concurrent use; two operators, in one process or in several, do not publish the
// same letter twice if the store is a [deadletter.Claimer].
type Operator struct {
	retention
	catalog
	o       Options
	decoder decode.Decoder
}

var (
	// ErrUnavailable is the error of a call that needs a part that [Options] does not have.
	ErrUnavailable = errors.New("operator: not available in this process")
	// ErrBadRequest is the error of a call with an invalid argument.
	ErrBadRequest = errors.New("operator: bad request")
	// ErrNotParked is the error of an operation on parked messages for a letter that is dead.
	ErrNotParked = errors.New("operator: the letter is not parked")
	// ErrNotNext is the error of retrying a parked message that is not the oldest of its key,
	// or that another process handles.
	ErrNotNext = errors.New("operator: the message is not next in this process: it waits behind another one, is handled now, or belongs to another process")
	// ErrNotQuarantined is the error of an operation on an entry that is not in quarantine.
	ErrNotQuarantined = errors.New("operator: no such entry in quarantine")
	// ErrNotWaiting is the error of an operation on an entry that does not wait in the outbox.
	ErrNotWaiting = errors.New("operator: no such entry waits in the outbox")
	// ErrNotPaused is the error of retrying a waiting entry whose key has no pause.
	ErrNotPaused = errors.New("operator: the entry waits for its turn or the connection, not for the end of a pause")
	// ErrSending is the error of deleting a waiting entry that was sent already.
	ErrSending = errors.New("operator: the entry was sent, and its acknowledgement decides")
	// ErrTooManyFailures ends a bulk operation in which 1,000 keys have failed. The cursor goes
	// on behind them.
	ErrTooManyFailures = errors.New("operator: too many keys have failed")
)

// New returns an operator with these options.
func New(o Options) *Operator {
	if o.Files == nil {
		o.Files = protoregistry.GlobalFiles
	}
	c, d := newCatalog(o.Files), decode.New(o.Files)
	return &Operator{o: o, decoder: d, catalog: c, retention: retention{broker: o.Retained, catalog: c, decoder: d, audit: o.Audit}}
}

// lacks is the error of a call that needs a part that this process does not have.
func lacks(part string) error {
	return fmt.Errorf("%w: it has no %s", ErrUnavailable, part)
}

// store returns the store of dead letters.
func (o *Operator) store() (deadletter.Store, error) {
	if o.o.Source == nil {
		return nil, lacks("dead letters")
	}
	return o.o.Source.DeadLetters()
}

// audited reports an action to the audit function.
func (o *Operator) audited(a Action) {
	if o.o.Audit != nil {
		o.o.Audit(a)
	}
}

// maxWhy is the number of bytes that the reason of a pause may have.
const maxWhy = 256

// Pause stops the handlers of the subscriptions with a name, see [Subscriptions]. It lasts until
// Resume, also over Stop and Start of the process. by is the name of the person who asked for
// it, and why the reason, at most 256 bytes: both are shown while the pause lasts. An error with
// the reason TIMEOUT or CANCELED means that the subscriptions are paused and a handler still
// runs. An unknown name is [event.ReasonBadRequest].
func (o *Operator) Pause(ctx context.Context, by, name, why string) error {
	if len(why) > maxWhy {
		return fmt.Errorf("%w: the reason has %d bytes, want at most %d", ErrBadRequest, len(why), maxWhy)
	}
	return o.steer(Action{Name: "pause", By: by, Subscription: name, Why: why}, func(s Subscriptions) error {
		return s.Pause(ctx, name, event.PausedBy(deadletter.Editor(by), why))
	})
}

// Resume ends a pause, or makes the next attempt of an open breaker at once. Without a pause it
// does nothing. An unknown name is [event.ReasonBadRequest].
func (o *Operator) Resume(ctx context.Context, by, name string) error {
	return o.steer(Action{Name: "resume", By: by, Subscription: name}, func(s Subscriptions) error { return s.Resume(ctx, name) })
}

// Subscriptions returns all subscriptions by name, with the state of each. The error is
// [ErrUnavailable].
func (o *Operator) Subscriptions() ([]event.SubscriptionPause, error) {
	if o.o.Subscriptions == nil {
		return nil, lacks("subscriptions")
	}
	return o.o.Subscriptions.Subscriptions(), nil
}

// Health returns how well the clients work, and why not better. The error is [ErrUnavailable].
func (o *Operator) Health() (observe.State, error) {
	if o.o.Probe == nil {
		return observe.State{}, lacks("health")
	}
	return o.o.Probe.State(), nil
}

// steer carries out an action on subscriptions and reports it to the audit.
func (o *Operator) steer(a Action, do func(Subscriptions) error) error {
	if o.o.Subscriptions == nil {
		return lacks("subscriptions")
	}
	a.Time, a.By = time.Now(), deadletter.Editor(a.By)
	a.Err = do(o.o.Subscriptions)
	o.audited(a)
	return a.Err
}
