package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// Outbox are the settings of an outbox.
type Outbox struct {
	Store outbox.Store
	Hold  time.Duration
	Poll  time.Duration
	// Direct is how long a publish may take that goes past the store while nothing
	// waits there; 0 has everything stored.
	Direct time.Duration
	// Gate holds the relay back until it returns nil, Subscriptions while they
	// are not granted, Own while those of the broker itself are not.
	Gate          func(ctx context.Context) error
	Subscriptions event.Subscriptions
	Own           bool
	// Backlog bounds what this process has sent to itself; nil bounds nothing.
	Backlog *event.Backlog
	// Unrouted is what becomes of messages without a subscriber, by operation.
	Unrouted map[string]event.Unrouted
	// RefusedLimit and RefusedAttempts bound how long a message is tried that the
	// broker refuses; 0 is the default.
	RefusedLimit    time.Duration
	RefusedAttempts int

	problems []error // of the configuration
}

// OutboxOption is an option of the outbox.
type OutboxOption func(*Outbox)

// SetOutbox makes publishes go through a store.
func (s *Settings) SetOutbox(store outbox.Store, opts []OutboxOption) {
	s.Outbox = &Outbox{Store: store}
	for _, o := range opts {
		if o != nil {
			o(s.Outbox)
		}
	}
}

// keeper takes messages into the outbox, at any time, and has a relay send them
// between Start and Stop.
type keeper struct {
	state  *state
	cfg    Outbox
	store  outbox.Store
	alarms alarms
	async  appender
	gate   *gate // nil holds nothing back
	direct direct

	mu     sync.Mutex
	relay  *relay.Relay // of this run, or of the next
	cancel context.CancelFunc
	ended  chan struct{} // closed when the relay's goroutine ended; nil while there is none
	down   bool          // a publishing connection is
	hurry  func()        // ends the wait for a flush; nil without one
}

func newKeeper(s *state, cfg Outbox) (*keeper, error) {
	k := &keeper{state: s, cfg: cfg, store: cfg.Store}
	k.alarms.keeper, k.async.keeper = k, k
	k.alarms.calls.work = k.alarms.call
	k.async.init()
	if cfg.Own {
		cfg.Subscriptions = s.broker
	}
	k.gate = newGate(k, &cfg)
	k.direct.init(k)
	if cfg.Backlog != nil {
		cfg.Backlog.OnRoom(k.retryNow)
	}
	if s.sequence != nil && cfg.Store != nil {
		k.store = numberedStore{cfg.Store, s.sequence}
	}
	return k, k.renew()
}

// renew makes the relay of the next run: each runs once.
func (k *keeper) renew() error {
	r, err := relay.New(k.store, k.send, relay.Options{
		Hold: k.cfg.Hold, PollInterval: k.cfg.Poll, Permanent: permanent, Refused: k.refusal, Awaited: awaited, Unanswered: unanswered,
		Observe: k.alarms.observe(),
	})
	if err == nil {
		k.relay = r
	}
	return err
}

// keeps reports whether the message goes through the outbox: QoS 0 promises
// nothing, and has to be quick.
func (s *state) keeps(m *Message) bool { return s.outbox != nil && m.QoS > 0 && !m.Direct }

// accept returns nil once the store has the message. ctx reaches the store with
// all it carries: a transaction, where there is one.
func (k *keeper) accept(ctx context.Context, m Message) error {
	e, err := k.entry(ctx, &m)
	if err != nil {
		return err
	}
	ctx, cancel := k.limited(ctx)
	defer cancel()
	if k.async.store.busy() && sqltx.From(ctx) == nil {
		return k.behind(ctx, e)
	}
	if k.direct.send(ctx, e) {
		return nil
	}
	return k.appended(ctx, m.Topic, k.store.Append(ctx, e))
}

// maxKey is the longest ordering key, in bytes, which is that of a topic.
const maxKey = math.MaxUint16

// checkKey refuses a key that not every store can keep: one bad key must not
// fail the others that go into the store with it.
func checkKey(what, key string) error {
	switch {
	case len(key) > maxKey:
		return fmt.Errorf("%s of %d bytes, want at most %d", what, len(key), maxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%s is no UTF-8", what)
	case strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("%s contains a NUL", what)
	}
	return nil
}

// entry checks a message and returns it in the form of the store, which shares no
// memory with it.
func (k *keeper) entry(ctx context.Context, m *Message) (*outbox.Entry, error) {
	if ctx == nil {
		return nil, badRequest("publish", m.Topic, "context is nil")
	}
	err := k.state.client.Check(&m.Message)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, public("publish", m.Topic, err)
	}
	e := &outbox.Entry{Message: envelope.Stored(&m.Message), ID: m.Identity(), Key: m.Key}
	if err := cmp.Or(checkKey("ordering key", e.Key), checkKey("id", e.ID)); err != nil {
		return nil, badRequest("publish", m.Topic, err.Error())
	}
	if !e.Retain {
		e.RetryUnrouted = m.RetryUnrouted
	}
	return e, nil
}

// appended turns the store's answer into what the publisher is told.
func (k *keeper) appended(ctx context.Context, topic string, err error) error {
	k.alarms.appended(ctx, err)
	if err == nil {
		return nil
	}
	e := &event.Error{Op: "publish", Topic: clip(topic), Reason: event.ReasonOutboxFailed, MayHaveBeenSent: true, Cause: err}
	switch {
	case errors.Is(err, outbox.ErrFull):
		e.Reason, e.MayHaveBeenSent = event.ReasonOutboxFull, false
	case errors.Is(err, outbox.ErrClosed):
		e.MayHaveBeenSent = false
	case ctx.Err() != nil:
		e.Reason = reasonOfContext(ctx.Err())
	}
	return e
}

// numberedStore forgets the numbers of entries that are never sent again.
type numberedStore struct {
	outbox.Store
	sequence *sequence.Numbers
}

// Claim implements [outbox.Claimer], as the store does.
func (n numberedStore) Claim() (release func(), ok bool) {
	if c, ok := n.Store.(outbox.Claimer); ok {
		return c.Claim()
	}
	return func() {}, true
}

// Delete implements [outbox.Store].
func (n numberedStore) Delete(ctx context.Context, seqs ...uint64) error {
	err := n.Store.Delete(ctx, seqs...)
	busy, ok := errors.AsType[*outbox.BusyError](err)
	if err == nil {
		n.sequence.Forget(seqs...)
	} else if ok { // those are asked for again
		n.sequence.Forget(slices.DeleteFunc(slices.Clone(seqs), func(seq uint64) bool { return slices.Contains(busy.Seqs, seq) })...)
	}
	return err
}

// Quarantine implements [outbox.Store].
func (n numberedStore) Quarantine(ctx context.Context, seq uint64, reason string) error {
	err := n.Store.Quarantine(ctx, seq, reason)
	if err == nil {
		n.sequence.Forget(seq)
	}
	return err
}

// healthTimeout bounds the question how the outbox is.
const healthTimeout = time.Second

func (k *keeper) health() (none event.OutboxHealth) {
	if k == nil {
		return none
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	h := k.current().Health(ctx)
	out := outboxHealth(h.Stats, h.Err)
	out.HeldBack, out.ClosedKeys, out.UnansweredKeys = !k.gate.isOpen(), h.ClosedKeys, h.UnansweredKeys
	if h.ClosedKeys > 0 && h.LastRefusal.Seq != 0 {
		out.RefusedError = h.LastRefusal.Err
	}
	out.Unrouted, out.Expired = k.alarms.unrouted.Load(), k.alarms.expired.Load()
	return out
}

func outboxHealth(s outbox.Stats, err error) event.OutboxHealth {
	return event.OutboxHealth{
		Depth: s.Depth, Bytes: s.Bytes, Age: s.Age(time.Now()), Fill: s.Fill(), Quarantined: s.Quarantined, Err: err,
	}
}

var errNoStore = errors.New("the outbox has no store")

// outboxOf returns the outbox of the settings, nil without one.
func (s *state) outboxOf(cfg *Outbox) (*keeper, error) {
	if cfg == nil {
		return nil, nil
	}
	if cfg.Store == nil {
		return nil, errNoStore
	}
	if err := noNil("store of the outbox", cfg.Store); err != nil {
		return nil, err
	}
	if cfg.Hold < 0 || cfg.Poll < 0 || cfg.Direct < 0 {
		return nil, fmt.Errorf("outbox: hold of %v, poll interval of %v, direct within %v", cfg.Hold, cfg.Poll, cfg.Direct)
	}
	if cfg.RefusedLimit < 0 || cfg.RefusedAttempts < 0 {
		return nil, fmt.Errorf("outbox: refused limit of %v, %d refused attempts", cfg.RefusedLimit, cfg.RefusedAttempts)
	}
	if err := errors.Join(cfg.problems...); err != nil {
		return nil, err
	}
	k, err := newKeeper(s, *cfg)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return k, nil
}
