package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// subscriber is a session on which messages arrive, with everything that they wait in until
// they are done. Unacknowledged messages of one subscriber do not delay another.
type subscriber struct {
	*session.Session
	run        *run
	name       string // of a subscription's own session; "" means the main one
	id         string // the client id
	sched      *delivery.Scheduler
	intake     *intake
	backlogs   *parking.Backlogs
	batchers   batchers
	movedLanes movedLanes

	unmatched unmatched
	resumed   atomic.Pointer[bool] // whether the first connection found the session
	tidying   sync.Once

	claim claim
}

// ownSessions are the sessions that belong to particular subscriptions, by name.
type ownSessions struct {
	mu  sync.Mutex
	all []*subscriber // in the order of registration
}

func (o *ownSessions) list() []*subscriber {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// newSubscriber makes a subscriber without connecting it.
func (r *run) newSubscriber(name string, will *Message) (*subscriber, error) {
	c := &r.client.cfg
	at := &subscriber{run: r, name: name}
	sched, err := delivery.NewScheduler(r.base, delivery.SchedulerOptions{
		Workers: r.client.reloading.concurrency(c), MaxCount: c.Queue, MaxBytes: c.QueueBytes,
	})
	if err != nil {
		return nil, &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	at.sched, at.intake = sched, &intake{run: r, at: at}
	at.backlogs = r.parking.Session(sched, c.Concurrency)
	at.id = at.clientID()
	if err := at.prepareUnmatched(); err != nil {
		sched.Close()
		return nil, &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	cfg := c.session(at.id)
	cfg.Negotiation, cfg.SessionExpiry, cfg.Sink, cfg.Will = r.version, r.client.sessionExpiry(name), at.intake, will
	c.bound(&cfg)
	cfg.Notify = func(e session.Event) {
		if _, lost := e.(session.Forgotten); lost {
			r.client.counts.forgotten.Add(1)
		}
		switch ev := e.(type) {
		case session.Attached:
			at.attached(ev.SessionPresent)
		case session.Subscribed:
			at.subscribed()
		}
		r.grants.note(name, e)
		main := name == "" && r.main() == at.Session
		r.events.add(e, main)
		r.presence.online(e, main)
	}
	if at.Session, err = session.New(cfg); err != nil {
		sched.Close()
		return nil, err
	}
	return at, nil
}

// subscriber returns the subscriber with a name, and makes it when first asked for.
func (r *run) subscriber(name string) (*subscriber, error) {
	if name == "" {
		return r.sub, nil
	}
	r.others.mu.Lock()
	defer r.others.mu.Unlock()
	for _, at := range r.others.all {
		if at.name == name {
			return at, nil
		}
	}
	at, err := r.newSubscriber(name, nil)
	if err == nil {
		r.others.all = append(r.others.all, at)
	}
	return at, err
}

// subscribers returns the main subscriber and those of own sessions.
func (r *run) subscribers() []*subscriber {
	own := r.others.list()
	if r.sub == nil { // it could not be made
		return own
	}
	return append([]*subscriber{r.sub}, own...)
}

func (at *subscriber) clientID() string {
	if at.name == "" {
		return at.run.id
	}
	return at.run.id + "-" + at.name
}

// dismiss ends what a removed subscription had here.
func (at *subscriber) dismiss(s *Subscription) {
	at.backlogs.Remove(s.backlog)
	at.batchers.remove(s.batch)
	at.run.breakers.leave(s)
}

// needed returns the own sessions that have subscriptions.
func (r *run) needed() []*subscriber {
	return slices.DeleteFunc(r.others.list(), func(at *subscriber) bool {
		n, _, _ := at.Filters()
		return n == 0
	})
}

// waitReady returns nil once every session is connected with its filters granted.
func (r *run) waitReady(ctx context.Context) error {
	err := r.main().WaitReady(ctx)
	for _, at := range r.needed() {
		if err == nil {
			err = at.WaitReady(ctx)
		}
	}
	return err
}

// status returns the status of the main connection, which is ready only if all sessions
// are.
func (r *run) status() session.Status {
	st := r.main().Status()
	for _, at := range r.needed() {
		if own := at.Status(); !own.Ready {
			st.Ready = false
			if st.LastError == nil {
				st.LastError = own.LastError
			}
		}
	}
	return st
}

// health adds the session to h.
func (at *subscriber) health(h *event.Health) {
	filters, granted, lower := at.Filters()
	parked, held := at.backlogs.Count()
	stats := at.sched.Stats()
	h.Filters, h.Granted, h.GrantedLower = h.Filters+filters, h.Granted+granted, h.GrantedLower+lower
	h.UnmatchedKept += at.unmatched.count()
	h.BeyondReceiveMaximum += at.Beyond()
	h.BackPressure = max(h.BackPressure, at.BackPressure())
	h.Queued, h.Running = h.Queued+stats.Queued+at.batchers.count(), h.Running+stats.Running
	h.QueuedBytes += stats.Bytes
	h.Parked, h.ParkedKeys = h.Parked+parked, h.ParkedKeys+held
	own := addSession(h, at.Session)
	h.InFlight += own.InFlight
	own.Name, own.Queued, own.Running = at.name, stats.Queued+at.batchers.count(), stats.Running
}

// drain waits concurrently for the handlers of all subscribers.
func drain(ctx context.Context, all []*subscriber) error {
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(all))
		left delivery.DrainError
	)
	for i, at := range all {
		at.batchers.flush()
		wg.Go(func() { errs[i] = at.sched.Drain(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if d, ok := errors.AsType[*delivery.DrainError](err); ok {
			left.Dropped, left.Running, left.Err = left.Dropped+d.Dropped, left.Running+d.Running, d.Err
		}
	}
	if left.Err == nil {
		return nil
	}
	return &left
}

// closeAll disconnects all subscribers concurrently.
func closeAll(ctx context.Context, all []*subscriber) {
	var wg sync.WaitGroup
	for _, at := range all {
		wg.Go(func() {
			at.Close(ctx)
			at.claim.end()
		})
	}
	wg.Wait()
}

// adoptMoved delivers messages that other sessions keep for a subscription that is now
// registered with at.
func (r *run) adoptMoved(at *subscriber) {
	for _, other := range r.subscribers() {
		if other != at {
			other.unmatched.mu.Lock()
			other.unmatched.deliverMatched()
			other.unmatched.mu.Unlock()
		}
	}
}

// attached is called for each connection, before its first message.
func (at *subscriber) attached(present bool) {
	at.resumed.CompareAndSwap(nil, &present)
	at.unmatched.begin()
}

// subscribed is called when every filter is granted. Filters that earlier versions left
// in the session are checked once per run.
func (at *subscriber) subscribed() {
	at.tidying.Do(func() {
		at.unmatched.begin()
		at.run.checks.run(func(ctx context.Context) { tidy(ctx, at) })
	})
}

// connect claims the client id and begins to connect.
func (at *subscriber) connect() error {
	err := at.claim.take(&at.run.client.cfg, at.id)
	if err == nil {
		at.Start()
	}
	return err
}
