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

// subscriber is a session that messages arrive on, with everything that they
// wait in until they are done: what one does not acknowledge holds up no other.
type subscriber struct {
	*session.Session
	run      *run
	name     string // of a session of its own; "" is that of all others
	id       string // the client id
	sched    *delivery.Scheduler
	intake   *intake
	backlogs *parking.Backlogs
	batchers batchers
	guests   guests

	strays  strays
	resumed atomic.Pointer[bool] // whether the first connection found the session
	tidying sync.Once

	claim claim
}

// ownSessions are the subscribers that some subscriptions have to themselves,
// by name.
type ownSessions struct {
	mu  sync.Mutex
	all []*subscriber // in the order of registration
}

func (o *ownSessions) list() []*subscriber {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// newSubscriber makes one that is not connected yet.
func (r *run) newSubscriber(name string, will *Message) (*subscriber, error) {
	c := &r.client.cfg
	at := &subscriber{run: r, name: name}
	sched, err := delivery.NewScheduler(r.base, delivery.SchedulerOptions{
		Workers: c.Concurrency, MaxCount: c.Queue, MaxBytes: c.QueueBytes,
	})
	if err != nil {
		return nil, &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	at.sched, at.intake = sched, &intake{run: r, at: at}
	at.backlogs = r.parking.Session(sched, c.Concurrency)
	at.id = at.clientID()
	if err := at.prepareStrays(); err != nil {
		sched.Close()
		return nil, &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	cfg := c.session(at.id)
	cfg.Negotiation, cfg.SessionExpiry, cfg.Sink, cfg.Will = r.version, c.SessionExpiry, at.intake, will
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

// subscriber returns the one of a name, made when first asked for.
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

// subscribers are the main one and those of their own.
func (r *run) subscribers() []*subscriber {
	own := r.others.list()
	if r.sub == nil { // could not be made
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

// dismiss ends what a subscription had here that was taken back.
func (at *subscriber) dismiss(s *Subscription) {
	at.backlogs.Remove(s.backlog)
	at.batchers.remove(s.batch)
}

// needed are the sessions of their own that anything is subscribed to on.
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

// status is that of the main connection, and ready only with all others.
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

// health adds what the session has to tell.
func (at *subscriber) health(h *event.Health) {
	filters, granted, lower := at.Filters()
	parked, held := at.backlogs.Count()
	stats := at.sched.Stats()
	h.Filters, h.Granted, h.GrantedLower = h.Filters+filters, h.Granted+granted, h.GrantedLower+lower
	h.UnmatchedKept += at.strays.count()
	h.BeyondReceiveMaximum += at.Beyond()
	h.BackPressure = max(h.BackPressure, at.BackPressure())
	h.Queued, h.Running = h.Queued+stats.Queued+at.batchers.count(), h.Running+stats.Running
	h.Parked, h.HeldKeys = h.Parked+parked, h.HeldKeys+held
	own := addSession(h, at.Session)
	h.InFlight += own.InFlight
	own.Queued, own.Running = stats.Queued+at.batchers.count(), stats.Running
}

// drain waits for the handlers of all of them, side by side.
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

// closeAll says DISCONNECT on all of them, side by side.
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

// adoptMoved hands over what other sessions keep for a subscription that at has got.
func (r *run) adoptMoved(at *subscriber) {
	for _, other := range r.subscribers() {
		if other != at {
			other.strays.mu.Lock()
			other.strays.adopt()
			other.strays.mu.Unlock()
		}
	}
}

// attached is called for each connection, before its first message.
func (at *subscriber) attached(present bool) {
	at.resumed.CompareAndSwap(nil, &present)
	at.strays.begin()
}

// subscribed is called when every filter is granted. Filters that earlier versions left
// in the session are checked once per run.
func (at *subscriber) subscribed() {
	at.tidying.Do(func() {
		at.strays.begin()
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
