package parking

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

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Subscription describes the subscription of a backlog.
type Subscription struct {
	// Filter is its topic filter.
	Filter string
	// Lane is where its messages are handled.
	Lane *delivery.Lane
	// Shares reports whether several senders may send to it.
	Shares bool
	// Deliver creates the delivery of a parked message for one attempt; before is the
	// number of earlier attempts in this process. A failed attempt is passed to
	// [Backlog.ParkAgain], the end of the delivery to [Backlog.Finished].
	Deliver func(k *Kept, before int) (Delivery, delivery.Task)
}

// Retries is how often and how fast parked messages are tried.
type Retries struct {
	// MaxAttempts is the maximum number of attempts at a parked message, including those
	// before it was parked. 0 means that only the time limit applies.
	MaxAttempts int
	// Backoff is the first pause between attempts, and MaxBackoff the longest; 0 means the
	// default.
	Backoff, MaxBackoff time.Duration
}

// Backlog has the parked messages of a subscription: in the store, in order per key. In
// memory it has only their ids. A key with a parked message is held: messages that arrive
// for it are parked behind that one. A nil Backlog is empty.
type Backlog struct {
	Subscription
	parking *Parking
	session *Backlogs
	owner   string // of what is parked from now on
	retries atomic.Pointer[Retries]

	loading atomic.Bool  // messages of an earlier run are not read yet
	count   atomic.Int64 // of parked messages

	mu      sync.Mutex
	closed  bool
	heirOf  []string // other owners whose parked messages are handled here
	heir    *Backlog // parks and handles in place of this one, once it was removed; nil without one
	keys    map[string]*parkedKey
	unkeyed map[*parkedKey]struct{} // messages without a key, each by itself
	awaited map[turn]struct{}       // what a backlog before this one is still handling
}

// parkedKey is a key whose messages are parked, or one message without a key.
type parkedKey struct {
	of     *Backlog
	name   string
	origin string // of its first message, see [deadletter.Letter.Origin]
	order  uint64 // in the scheduler; 0 means not set

	// Guarded by the backlog's mutex.
	ids     []string // oldest first
	timer   *time.Timer
	since   time.Time // since when the key is held
	why     string    // the last error
	running bool      // its task has begun and not ended
	began   turn      // what the task began with

	// Used by the task only, which never runs twice at a time.
	pauses  *backoff.ExponentialBackOff
	retries *Retries // that pauses were made of
	current Delivery // of the oldest message, while it is handled
	task    delivery.Task
	tries   int  // attempts at the oldest message in this process
	over    bool // the oldest message is handled, only its deletion is missing
}

// Subscribe returns the backlog of a subscription, which is not restored yet.
func (b *Backlogs) Subscribe(s Subscription, r Retries, owner string) *Backlog {
	l := &Backlog{
		Subscription: s, parking: b.parking, session: b, owner: owner,
		keys: make(map[string]*parkedKey), unkeyed: make(map[*parkedKey]struct{}),
	}
	l.retries.Store(&r)
	l.loading.Store(true)
	return l
}

// Retune changes how often and how fast messages are tried, from the next attempt on. It is
// safe for concurrent use.
func (l *Backlog) Retune(r Retries) {
	if l != nil && *l.retries.Load() != r {
		l.retries.Store(&r)
	}
}

// Owners returns the owners of the messages parked here.
func (l *Backlog) Owners() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{l.owner}, l.heirOf...)
}

// Has reports whether an owner's messages are handled here.
func (l *Backlog) Has(owner string) bool { return l != nil && slices.Contains(l.Owners(), owner) }

// Empty reports whether nothing is known to be parked. It returns false until the backlog
// is restored, because something may be parked.
func (l *Backlog) Empty() bool { return l == nil || l.count.Load() == 0 && !l.loading.Load() }

// Inherit takes over the parked messages of other owners, until none of them is left.
func (l *Backlog) Inherit(owners ...string) {
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

// Leave names the backlog that takes the place of this one, whose handler still has
// messages, which may have to be parked.
func (l *Backlog) Leave(heir *Backlog) {
	if l == nil || heir == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heir = heir
}

// next returns the backlog that takes the place of this one, or nil.
func (l *Backlog) next() *Backlog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heir
}

// Hold decides, before a message is handled, whether it is held. A message that arrived
// incomplete is not: parked, it would later be handled as if it were complete.
func (l *Backlog) Hold(d Delivery) delivery.Hold {
	if l == nil {
		return delivery.Free
	}
	if heir := l.next(); heir != nil {
		if h := heir.Hold(d); h != delivery.Free {
			return h
		}
	}
	if l.loading.Load() {
		return delivery.Unknown
	}
	if l.count.Load() == 0 || omitted(d.Message()) != (deadletter.Omitted{}) {
		return delivery.Free
	}
	key := keyName(d.Order())
	if key == "" {
		return delivery.Free
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keys[key] == nil || l.parking.own(d.Message().Topic) {
		return delivery.Free
	}
	return delivery.Behind
}

// Park stores a message and holds its key. All messages of a key pass through one queue of
// the scheduler, so that none is handled between storing and holding.
func (l *Backlog) Park(ctx context.Context, d Delivery, cause error, attempts int) error {
	if heir := l.next(); heir != nil {
		return heir.Park(ctx, d, cause, attempts)
	}
	p, topic := l.parking, d.Message().Topic
	if p.own(topic) {
		return p.Put(ctx, d, cause, attempts)
	}
	k, err := p.keep(d)
	if err != nil {
		return err
	}
	if often := cause != nil && l.often(attempts); often || k.Omitted != (deadletter.Omitted{}) {
		return p.Put(ctx, d, cause, attempts)
	}
	k.Owner, k.Until = l.owner, k.Received.Add(p.ParkLimit)
	k.note(deadletter.Parked, cause, attempts)
	err = p.store(ctx, d, k)
	if errors.Is(err, errUnfit) {
		return p.Put(ctx, d, cmp.Or(cause, err), attempts)
	}
	if err != nil {
		return err
	}
	l.add(k.Letter, cause != nil)
	if cause != nil {
		p.Log.Few("parked", origin(d), func(more []any) {
			p.Log.Warn("mqtt: message parked, its key waits behind it", append(more, logsafe.KeyFilter, l.Filter, logsafe.KeyTopic, topic,
				logsafe.KeyLetterID, k.ID, logsafe.KeyOrderingKey, k.Key, logsafe.KeyAttempts, attempts, logsafe.KeyError, cause)...)
		})
	}
	if h := p.Parked; h != nil {
		p.Call(func() { h(event.ParkInfo{Delivery: d.Info(attempts), ID: k.ID, Key: k.Key, Err: cause}) })
	}
	return nil
}

// add appends a stored message to its key. A new key is scheduled, after a pause if the
// message has just failed.
func (l *Backlog) add(kept *deadletter.Letter, failed bool) {
	id, name := kept.ID, keyName(kept.Key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if heir := l.heir; heir != nil {
		// It took the place while the message was being stored. Where it has read the
		// message back as well, it finds it handled the second time.
		heir.Inherit(kept.Owner)
		heir.add(kept, failed)
		return
	}
	l.count.Add(1)
	k := l.keys[name]
	if k != nil {
		k.ids = append(k.ids, id)
		return
	}
	k = &parkedKey{
		of: l, name: strings.Clone(name), origin: strings.Clone(kept.Origin()), ids: []string{id},
		since: kept.Time, why: kept.Reason,
	}
	if name == "" {
		l.unkeyed[k] = struct{}{}
	} else {
		// a queue of its own, so that arriving messages do not wait for a retry
		k.order = l.session.sched.Key("parked\x00" + name)
		l.keys[k.name] = k
	}
	var after time.Duration
	if failed {
		after = k.pause()
	}
	l.schedule(k, after)
}

// done removes the oldest message from its key, and releases the key after the last one.
// It reports whether the key has more messages.
func (l *Backlog) done(k *parkedKey) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count.Add(-1) == 0 {
		l.heirOf = nil
	}
	k.ids = k.ids[1:]
	if len(k.ids) > 0 {
		return true
	}
	delete(l.unkeyed, k)
	if l.keys[k.name] == k {
		delete(l.keys, k.name)
	}
	return false
}

// begin notes that the task of a key runs, and returns the id of the oldest message, or ""
// if the backlog is closed.
func (l *Backlog) begin(k *parkedKey) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(k.ids) == 0 {
		return ""
	}
	k.running, k.began = true, k.turn()
	return k.ids[0]
}

// schedule schedules the key after a pause. The caller holds the mutex.
func (l *Backlog) schedule(k *parkedKey, after time.Duration) {
	switch {
	case l.closed || l.loading.Load() || l.awaits(k):
	case after <= 0:
		l.session.enqueue(k)
	default:
		k.timer = time.AfterFunc(after, func() { l.session.enqueue(k) })
	}
}

func (l *Backlog) scheduleAgain(k *parkedKey, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.schedule(k, after)
}

// retryNow ends the pauses of the keys whose oldest message is one of ids, and returns how many
// keys that were. A key that is handled now, or about to be, has no pause.
func (l *Backlog) retryNow(ids []string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := func(k *parkedKey) {
		if len(k.ids) > 0 && slices.Contains(ids, k.ids[0]) && k.timer != nil && k.timer.Stop() {
			l.schedule(k, 0)
			n++
		}
	}
	for _, k := range l.keys {
		now(k)
	}
	for k := range l.unkeyed {
		now(k)
	}
	return n
}

// loaded lets messages in, and schedules those that an earlier run left.
func (l *Backlog) loaded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loading.CompareAndSwap(true, false) {
		return
	}
	for _, k := range l.keys {
		l.schedule(k, 0)
	}
	for k := range l.unkeyed {
		l.schedule(k, 0)
	}
}

// close ends the retries; the store keeps what is parked.
func (l *Backlog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, k := range l.keys {
		k.stop()
	}
	for k := range l.unkeyed {
		k.stop()
	}
}

// maxPause is the longest pause between attempts at a parked message.
const maxPause = delivery.DefaultMaxBlocked

// often reports whether these attempts are all that a message may have.
func (l *Backlog) often(attempts int) bool {
	most := l.retries.Load().MaxAttempts
	return most > 0 && attempts >= most
}

func (r *Retries) pauses() *backoff.ExponentialBackOff {
	longest := cmp.Or(r.MaxBackoff, max(maxPause, r.Backoff))
	return &backoff.ExponentialBackOff{
		InitialInterval: min(cmp.Or(r.Backoff, delivery.DefaultMinBackoff), longest), MaxInterval: longest,
		RandomizationFactor: 0.5, Multiplier: 2,
	}
}

// pause returns the pause after a failed attempt. Pauses begin anew with new retries.
func (k *parkedKey) pause() time.Duration {
	if r := k.of.retries.Load(); k.retries != r {
		k.retries, k.pauses = r, r.pauses()
	}
	return min(k.pauses.NextBackOff(), k.pauses.MaxInterval)
}
