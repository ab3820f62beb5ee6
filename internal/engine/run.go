package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// run is what lives between Start and Stop.
type run struct {
	client  *Client
	id      string // of the subscriber
	sub     *session.Session
	pubs    *publishers
	sched   *delivery.Scheduler
	intake  *intake
	events  *events
	version *session.Negotiation
	drops   drops
	left    leftovers
	stopped chan struct{} // closed at the end of stop

	lots      lots
	restoring sync.Mutex // while parked messages are read back
	troubles  troubles
	checks    background
	presence  *Presence
	batchers  batchers

	selfTested atomic.Pointer[error]
}

func newRun(c *Client) (*run, error) {
	r := &run{client: c, presence: c.presence, stopped: make(chan struct{})}
	r.events = &events{client: c, left: &r.left}
	sched, err := delivery.NewScheduler(context.Background(), delivery.SchedulerOptions{
		Workers: c.cfg.Concurrency, MaxCount: c.cfg.Queue, QueueFull: r.queueFull,
	})
	if err != nil {
		return nil, &Error{Op: "configure", Reason: session.ReasonBadRequest, Cause: err}
	}
	r.sched, r.intake = sched, &intake{run: r}
	r.lots.init(sched, c.cfg.Concurrency)
	r.checks.init()
	r.id = c.cfg.clientID()
	if err := r.open(r.id); err != nil {
		sched.Close()
		return nil, err
	}
	for s := range c.subs {
		if err := r.prepare(s); err != nil {
			sched.Close()
			return nil, err
		}
		if err := r.sub.Want(c.wanted(s.Filter)); err != nil {
			sched.Close()
			return nil, err
		}
	}
	return r, nil
}

func (r *run) queueFull(n int) {
	r.client.counts.dropped.Add(int64(n))
	r.dropped(n, 0)
}

// publisherExpiry keeps the publisher's session for a reconnect, which resends
// what is in flight, and not for much longer.
const publisherExpiry = 5 * time.Minute

// open makes the sessions; nothing connects yet. The client's lock is held.
func (r *run) open(id string) (err error) {
	c := &r.client.cfg
	version := session.NewNegotiation(c.protocol())
	r.version = version
	subscribes := len(r.client.subs) > 0

	sub := c.session(id)
	sub.Negotiation, sub.SessionExpiry, sub.Sink = version, c.SessionExpiry, r.intake
	sub.Notify = func(e session.Event) {
		if _, lost := e.(session.Forgotten); lost {
			r.client.counts.forgotten.Add(1)
		}
		main := r.main() == r.sub
		r.events.add(e, main)
		r.online(e, main)
	}
	if subscribes {
		sub.Will = r.will()
	}
	if r.sub, err = session.New(sub); err != nil {
		return err
	}
	publisher := id + c.PublisherSuffix
	r.pubs, err = newPublishers(c.Connections, publisher, func(id string) (*session.Session, error) {
		pub := c.session(id)
		pub.Negotiation, pub.SessionExpiry, pub.FreshStart = version, publisherExpiry, true
		first := id == publisher
		pub.Notify = func(e session.Event) {
			r.publishing(e)
			main := first && r.main() != r.sub
			r.events.add(e, main)
			r.online(e, main)
		}
		if !subscribes && first {
			pub.Will = r.will()
		}
		return session.New(pub)
	})
	return err
}

// start opens the main connection and waits for its first outcome.
func (r *run) start(ctx context.Context) error {
	c := r.client
	if err := r.restore(ctx); err != nil {
		return err
	}
	main := r.main()
	main.Start()
	if c.cfg.Retained {
		r.checks.run(r.checkRetained)
	}
	if len(c.cfg.SelfTest) > 0 {
		r.checks.run(r.selfTest)
	}
	ctx, cancel := context.WithTimeout(ctx, c.connectTimeout())
	defer cancel()
	err := main.WaitAttempt(ctx)
	if err == nil || (!c.cfg.FailFast && !final(err)) {
		return nil // down: the supervisor goes on trying
	}
	return err
}

// final says whether an outcome of the first attempt is a mistake in the
// settings rather than an outage.
func final(err error) bool {
	switch session.ReasonOf(err) {
	case session.ReasonNetwork, session.ReasonNotConnected, session.ReasonTimeout, session.ReasonTakenOver,
		session.ReasonQuota, "":
		return false
	}
	return true
}

// main is the connection that readiness is about.
func (r *run) main() *session.Session {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.client.subs) > 0 {
		return r.sub
	}
	return r.pubs.first()
}

// prepare gives a subscription its place in this run's scheduler.
func (r *run) prepare(s *Subscription) error {
	s.lane, s.lot, s.batch = r.sched.NewLane(s.Concurrency), nil, r.newBatcher(s)
	var err error
	if r.client.cannotPark(s) == nil {
		s.lot, err = r.newLot(s)
	}
	if err == nil {
		s.flow, err = r.flow(s)
	}
	if err != nil {
		return &Error{Op: "subscribe", Topic: s.Filter, Reason: session.ReasonBadRequest, Cause: err}
	}
	r.lots.add(s.lot)
	return nil
}

func (r *run) subscribe(ctx context.Context, f session.Filter) error {
	r.sub.Start()
	return r.sub.Subscribe(ctx, f)
}

func (r *run) unsubscribe(ctx context.Context, filter string) error {
	return r.sub.Unsubscribe(ctx, filter)
}

// stop ends intake, drains the handlers, lets acknowledgements and publishes
// leave, and says DISCONNECT on both connections.
func (r *run) stop(ctx context.Context) error {
	r.sub.StopIntake()
	r.lots.close()
	r.checks.stop()
	r.batchers.flush()
	drained := r.sched.Drain(ctx)
	r.offline(ctx)
	r.sub.Close(ctx)
	outbox, flying := r.flush(ctx)
	r.closePublishers(ctx)
	r.left.report(r.client, drained, outbox, flying)
	r.events.wait(ctx)
	if drained != nil {
		return fmt.Errorf("mqtt: handlers did not finish in time: %w", drained)
	}
	return nil
}

// closePublishers closes them side by side: each may wait for its publishes.
func (r *run) closePublishers(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range r.pubs.sessions {
		wg.Go(func() { s.Close(ctx) })
	}
	wg.Wait()
}

func (r *run) hasStopped() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}
