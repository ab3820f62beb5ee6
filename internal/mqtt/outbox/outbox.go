package outbox

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// Outbox appends messages to its store, at any time, and sends them with a relay between
// Start and Stop. All methods are safe for concurrent use.
type Outbox struct {
	settings Settings
	store    outbox.Store
	alarms   *alarms
	gate     *gate // nil holds nothing back
	appender *appender
	relaying *relaying
	delays   *delays // nil if the store cannot delay entries
}

// New returns an outbox. It reports all problems of the settings at once.
func New(s Settings, l Link) (*Outbox, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if s.Own {
		s.Subscriptions = l.Subscriptions
	}
	o := &Outbox{settings: s, store: s.Store}
	if l.Forget != nil {
		o.store = forgetting{s.Store, l.Forget}
	}
	o.alarms = newAlarms(o.store, &l)
	o.gate = newGate(&s, &l)
	o.delays = newDelays(&s, o.alarms)
	sender := &sender{link: &l, gate: o.gate, alarms: o.alarms, backlog: s.Backlog}
	o.relaying = &relaying{log: l.Log, hold: s.KeepAcknowledged, gate: o.gate, alarms: o.alarms, delays: o.delays, open: func() (*relay.Relay, error) {
		return relay.New(o.store, sender.send, relay.Options{
			KeepAcknowledged: s.KeepAcknowledged, PollInterval: s.Poll, Permanent: permanent, Refused: s.refusal, Awaited: awaited, Unanswered: unanswered,
			Observe: o.alarms.observe(),
		})
	}}
	if o.gate != nil {
		o.gate.opens, o.gate.closes = o.relaying.retryNow, o.relaying.hurryUp
	}
	if s.Backlog != nil {
		s.Backlog.OnRoom(o.relaying.retryNow)
	}
	o.appender = newAppender(o.store, &l, o.alarms, newDirect(&s, sender, o.relaying), o.delays)
	if err := o.relaying.renew(); err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	return o, nil
}

// Append returns nil once the store has the entry, or the broker has acknowledged it. The
// store receives ctx with its values, such as a transaction.
func (o *Outbox) Append(ctx context.Context, e *outbox.Entry) error { return o.appender.append(ctx, e) }

// AppendAsync is Append without the wait: done is called once with the outcome, unless
// it returns an error. A transaction does not wait for others: then the store has the
// entry when it returns.
func (o *Outbox) AppendAsync(ctx context.Context, e *outbox.Entry, done func(error)) error {
	return o.appender.appendAsync(ctx, e, done)
}

// Start starts a relay that sends the entries of the outbox until Stop. A second call does
// nothing.
func (o *Outbox) Start() { o.relaying.start() }

// Stop sends the entries of the outbox, within ctx and as long as there is a connection,
// and ends the relay. It returns how many entries are left for the next start, and how
// many of those have no outcome yet.
func (o *Outbox) Stop(ctx context.Context) (left, flying int) {
	o.appender.wait(ctx)
	return o.relaying.stop(ctx)
}

// Connection reports the state of one publishing connection, and whether any is up.
func (o *Outbox) Connection(up, some bool) { o.relaying.connection(up, some) }

// healthTimeout bounds the query of the store's health.
const healthTimeout = time.Second

// Health is a snapshot.
func (o *Outbox) Health() event.OutboxHealth {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	h := o.relaying.current().Health(ctx)
	out := healthOf(h.Stats, h.Err)
	out.GateClosed, out.ClosedKeys, out.UnansweredKeys = !o.gate.isOpen(), h.ClosedKeys, h.UnansweredKeys
	if h.ClosedKeys > 0 && h.LastRefusal.Seq != 0 {
		out.RefusedError = h.LastRefusal.Err
	}
	out.Unrouted, out.Expired = o.alarms.unrouted.Load(), o.alarms.expired.Load()
	return out
}

func healthOf(s outbox.Stats, err error) event.OutboxHealth {
	return event.OutboxHealth{
		Depth: s.Depth, Bytes: s.Bytes, Age: s.Age(time.Now()), Fill: s.Fill(), Quarantined: s.Quarantined, Err: err,
		Delayed: s.Delayed, DelayedBytes: s.DelayedBytes, NextDue: s.NextDue,
	}
}

// Quarantined lists quarantined entries, as the store does. The errors of this and the
// next two are OUTBOX_FULL, OUTBOX_FAILED and those of ctx.
func (o *Outbox) Quarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	list, err := o.store.Quarantined(ctx, after, limit)
	return list, storeError(ctx, err)
}

// RetryQuarantined moves quarantined entries back, and wakes the relay.
func (o *Outbox) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	return storeError(ctx, o.relaying.current().RetryQuarantined(ctx, seqs...))
}

// DeleteQuarantined deletes quarantined entries.
func (o *Outbox) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	return storeError(ctx, o.store.DeleteQuarantined(ctx, seqs...))
}

// Waiting lists waiting entries with a Seq beyond after, and why each waits. The errors of this
// and the next two are those of Quarantined.
func (o *Outbox) Waiting(ctx context.Context, after uint64, limit int) ([]outbox.Waiting, error) {
	entries, err := o.store.Peek(ctx, after, limit)
	if err != nil {
		return nil, storeError(ctx, err)
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Order()
	}
	list := make([]outbox.Waiting, len(entries))
	for i, err := range o.relaying.current().Failures(keys...) {
		if list[i].Entry = entries[i]; err != nil {
			list[i].Reason = logsafe.Text(err.Error())
		}
	}
	return list, nil
}

// RetryWaiting ends the pauses of keys, see [outbox.Entry.Order], and returns how many those
// were.
func (o *Outbox) RetryWaiting(keys ...string) int { return o.relaying.current().RetryKeys(keys...) }

// DeleteWaiting deletes waiting entries, and returns those that it left because they were sent
// already. Entries that other transactions have locked are left with an error that wraps
// [outbox.BusyError].
func (o *Outbox) DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	sent, err = o.relaying.current().Discard(ctx, seqs...)
	return sent, storeError(ctx, err)
}

func storeError(ctx context.Context, err error) error {
	const op = "outbox"
	switch {
	case err == nil:
		return nil
	case errors.Is(err, outbox.ErrFull):
		return &event.Error{Op: op, Reason: event.ReasonOutboxFull, Cause: err}
	case ctx.Err() != nil:
		return &event.Error{Op: op, Reason: reasonOf(ctx.Err()), Cause: err}
	}
	return &event.Error{Op: op, Reason: event.ReasonOutboxFailed, Cause: err}
}

// failed returns the error of a publish.
func failed(topic string, reason event.Reason, cause error) *event.Error {
	return &event.Error{Op: "publish", Topic: logsafe.Clip(topic), Reason: reason, Cause: cause}
}

// reasonOf returns the reason of a context that ended.
func reasonOf(err error) event.Reason {
	if errors.Is(err, context.DeadlineExceeded) {
		return event.ReasonTimeout
	}
	return event.ReasonCanceled
}

// forgetting reports the entries that are never sent again.
type forgetting struct {
	outbox.Store
	forget func(entries ...uint64)
}

// Claim implements [outbox.Claimer], as the store does.
func (f forgetting) Claim() (release func(), ok bool) {
	if c, ok := f.Store.(outbox.Claimer); ok {
		return c.Claim()
	}
	return func() {}, true
}

// Delete implements [outbox.Store].
func (f forgetting) Delete(ctx context.Context, seqs ...uint64) error {
	err := f.Store.Delete(ctx, seqs...)
	busy, ok := errors.AsType[*outbox.BusyError](err)
	if err == nil {
		f.forget(seqs...)
	} else if ok { // those are asked for again
		f.forget(slices.DeleteFunc(slices.Clone(seqs), func(seq uint64) bool { return slices.Contains(busy.Seqs, seq) })...)
	}
	return err
}

// Quarantine implements [outbox.Store].
func (f forgetting) Quarantine(ctx context.Context, seq uint64, reason string) error {
	err := f.Store.Quarantine(ctx, seq, reason)
	if err == nil {
		f.forget(seq)
	}
	return err
}

func isNil(store outbox.Store) bool {
	r := reflect.ValueOf(store)
	return r.Kind() == reflect.Pointer && r.IsNil()
}
