package client

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// lot is where a subscription's messages are parked: in the store, in order
// per key. Of the messages it knows the ids only. A key with a parked message
// is held: whatever arrives for it is parked behind.
type lot struct {
	run   *run
	at    *subscriber
	sub   *Subscription
	lane  *delivery.Lane
	flow  *delivery.Attempts[*Delivery] // of parked messages
	owner string                        // of what is parked from now on

	loading atomic.Bool  // what an earlier run left is not read yet
	count   atomic.Int64 // of parked messages

	mu     sync.Mutex
	closed bool
	heirOf []string // owners of what is parked here besides
	keys   map[string]*held
	alone  map[*held]struct{} // messages without order, each by itself
}

// held is a key whose messages are parked, or one message without order.
type held struct {
	lot    *lot
	key    string
	origin string // of its first message, see [deadletter.Letter.Origin]
	order  uint64 // in the scheduler; 0 is none

	// Guarded by the lot's mutex.
	ids   []string // oldest first
	timer *time.Timer
	since time.Time // it is held
	why   string    // the last error

	// Used by the task only, which never runs twice at a time.
	pauses  *backoff.ExponentialBackOff
	current *Delivery // of the oldest message, while it is handled
	tries   int       // at it, in this process
	over    bool      // with it, but for the deletion of its letter
}

// cannotPark says why a subscription's messages are not parked; nil if they
// are.
func (c *Client) cannotPark(s *Subscription) error {
	if err := CannotPark(c.store, c.cfg.ClientID); err != nil {
		return err
	}
	if s.ManualAck {
		return errors.New("messages that are acknowledged by hand cannot be parked, as parking acknowledges them: want automatic acknowledgement, or another exhausted than park")
	}
	return nil
}

// CannotPark reports why a client with this store and client id can park nothing,
// and what is wanted; nil if it can. A nil store does not park.
func CannotPark(store deadletter.Store, clientID string) error {
	switch {
	case store == nil || !store.Parks():
		return errors.New("the store for dead letters does not park: want one in SQL or a file, or another exhausted than park")
	case clientID == "":
		return errors.New("without a client id nobody comes back to parked messages: want a client_id, or another exhausted than park")
	}
	return nil
}

func (r *run) newLot(s *Subscription) (*lot, error) {
	l := &lot{run: r, at: s.at, sub: s, lane: s.lane, owner: r.client.owner(s), keys: make(map[string]*held), alone: make(map[*held]struct{})}
	l.loading.Store(true)
	policy := r.policy(s)
	policy.MaxAttempts, policy.Exhausted, policy.Park, policy.Observer = 1, delivery.ExhaustedPark, l.parkAgain, r.observer()
	policy.Observer.Finished = func(d *Delivery, o delivery.Outcome) {
		if d.letter.result = o.Result; o.Result == delivery.Parked && d.letter.State == deadletter.Dead {
			d.letter.result = delivery.Exhausted // it became one instead
		}
		r.ended(d, o)
	}
	flow, err := delivery.NewAttempts(s.handle, policy)
	l.flow = flow
	return l, err
}

// owners are those of what is parked here.
func (l *lot) owners() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{l.owner}, l.heirOf...)
}

// has reports whether an owner's messages are handled here.
func (l *lot) has(owner string) bool { return l != nil && slices.Contains(l.owners(), owner) }

// inherit takes over what others parked, as long as any of it is there.
func (l *lot) inherit(owners ...string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, owner := range owners {
		if !slices.Contains(l.heirOf, owner) { // once, however many messages it has
			l.heirOf = append(l.heirOf, owner)
		}
	}
}

// hold is asked before a message is handled. One that is not here as a whole
// waits for nobody: parked, it would be handled as if what is there were all.
func (l *lot) hold(d *Delivery) delivery.Hold {
	if l.loading.Load() {
		return delivery.Unknown
	}
	if l.count.Load() == 0 || omitted(d.Inbound) != (deadletter.Omitted{}) {
		return delivery.Free
	}
	key := heldName(d.order())
	if key == "" {
		return delivery.Free
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys[key] == nil || l.run.own(d) {
		return delivery.Free
	}
	return delivery.Behind
}

// park stores a message and holds its key. All messages of a key come through
// one queue of the scheduler, so none slips by between storing and holding.
func (l *lot) park(ctx context.Context, d *Delivery, cause error, attempts int) error {
	r := l.run
	if r.own(d) {
		return r.bury(ctx, d, cause, attempts)
	}
	kept, err := r.letterOf(d)
	if err != nil {
		return err
	}
	bound := l.sub.parkBound()
	if often := cause != nil && bound > 0 && attempts >= bound; often || kept.Omitted != (deadletter.Omitted{}) {
		return r.bury(ctx, d, cause, attempts)
	}
	kept.Owner, kept.Until = l.owner, kept.Received.Add(r.client.cfg.ParkLimit)
	kept.fill(deadletter.Parked, cause, attempts)
	err = r.put(ctx, d)
	if errors.Is(err, errUnfit) {
		return r.bury(ctx, d, cmp.Or(cause, err), attempts)
	}
	if err != nil {
		return err
	}
	l.add(kept.Letter, cause != nil)
	if cause != nil {
		r.client.letterLog.sayOf(d, func(others string) {
			r.client.log.Warnf("mqtt: parked as %s: topic %q, key %q, %d attempts%s: %v", kept.ID, d.Topic, kept.Key, attempts, others, cause)
		})
	}
	if h := r.client.cfg.Hooks.Parked; h != nil {
		r.client.hook(func() { h(d, kept.ID, kept.Key, attempts, cause) })
	}
	return nil
}

// add appends a stored message to its key, and has a new key handled: after a
// pause when it has just failed.
func (l *lot) add(kept *deadletter.Letter, failed bool) {
	id, key := kept.ID, heldName(kept.Key)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count.Add(1)
	h := l.keys[key]
	if h != nil {
		h.ids = append(h.ids, id)
		return
	}
	h = &held{
		lot: l, key: strings.Clone(key), origin: strings.Clone(kept.Origin()), ids: []string{id},
		pauses: l.newPauses(), since: kept.Time, why: kept.Reason,
	}
	if key == "" {
		l.alone[h] = struct{}{}
	} else {
		// A queue of its own: what arrives must not wait for a retry.
		h.order = l.at.sched.Key("parked\x00" + key)
		l.keys[h.key] = h
	}
	var after time.Duration
	if failed {
		after = h.pause()
	}
	l.schedule(h, after)
}

// done takes the oldest message off its key, and releases the key with the
// last one. It reports whether there is more.
func (l *lot) done(h *held) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count.Add(-1) == 0 {
		l.heirOf = nil
	}
	h.ids = h.ids[1:]
	if len(h.ids) > 0 {
		return true
	}
	delete(l.alone, h)
	if l.keys[h.key] == h {
		delete(l.keys, h.key)
	}
	return false
}

// oldest is "" once the lot is closed.
func (l *lot) oldest(h *held) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(h.ids) == 0 {
		return ""
	}
	return h.ids[0]
}

// schedule has the key handled after a while. The mutex is held.
func (l *lot) schedule(h *held, after time.Duration) {
	switch {
	case l.closed || l.loading.Load():
	case after <= 0:
		l.at.lots.take(h)
	default:
		h.timer = time.AfterFunc(after, func() { l.at.lots.take(h) })
	}
}

func (l *lot) scheduleAgain(h *held, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.schedule(h, after)
}

// loaded lets messages in, and has those handled that an earlier run left.
func (l *lot) loaded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loading.CompareAndSwap(true, false) {
		return
	}
	for _, h := range l.keys {
		l.schedule(h, 0)
	}
	for h := range l.alone {
		l.schedule(h, 0)
	}
}

// close ends the retries; the store keeps what is parked.
func (l *lot) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	stop := func(h *held) {
		if h.timer != nil {
			h.timer.Stop()
		}
	}
	for _, h := range l.keys {
		stop(h)
	}
	for h := range l.alone {
		stop(h)
	}
}

// maxParkedBackoff is the longest pause between attempts at a parked message.
const maxParkedBackoff = delivery.DefaultMaxBlocked

func (l *lot) newPauses() *backoff.ExponentialBackOff {
	longest := cmp.Or(l.sub.MaxBackoff, max(maxParkedBackoff, l.sub.Backoff))
	return &backoff.ExponentialBackOff{
		InitialInterval: min(cmp.Or(l.sub.Backoff, delivery.DefaultMinBackoff), longest), MaxInterval: longest,
		RandomizationFactor: 0.5, Multiplier: 2,
	}
}

func (h *held) pause() time.Duration { return min(h.pauses.NextBackOff(), h.pauses.MaxInterval) }
