package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// run is what lives between Start and Stop.
type run struct {
	client *Client
	base   context.Context // the values of Start's context, for handlers
	connector
	sub     *subscriber // the main one; ready to be connected
	others  ownSessions
	pubs    *publishers
	inboxes inboxes // of requests
	answers answers // to requests
	drops   drops
	left    leftovers
	began   chan struct{} // closed when the outcome of Start is known
	failure error         // of Start; valid once it began
	stopped chan struct{} // closed at the end of stop
	unclean error         // of Stop; valid once it stopped

	flows
	checks   background
	presence announcer
	grants   grants
	filters  filterBook

	test selfTest
}

// newRun takes from ctx what handlers find in their contexts. It does not take
// its end: a Start is often given a deadline, and what was handled when Kratos'
// context ends is for Stop to drain.
func newRun(ctx context.Context, c *Client) (*run, error) {
	r := &run{client: c, base: context.WithoutCancel(ctx), began: make(chan struct{}), stopped: make(chan struct{})}
	r.connector = connector{
		cfg: &c.cfg, id: c.cfg.clientID(), version: session.NewNegotiation(c.cfg.protocol()),
		events: &events{cfg: &c.cfg, log: c.log, calls: &c.calls, granted: c.warnUnsupported, left: &r.left, outages: make(outages)},
	}
	r.presence = announcer{Presence: c.presence, main: r.main, checks: &r.checks, log: c.log}
	r.events.queue = queue.New(r.events.work)
	r.drops.tell, r.drops.calls, r.drops.later = c.cfg.Hooks.Dropped, &c.calls, r.events.do
	r.test.topics, r.test.conns, r.test.publish, r.test.log = c.cfg.SelfTest, &r.connector, r.publish, c.log
	r.flows = flows{cfg: &c.cfg, log: c.log, calls: &c.calls, parking: newParking(r), retries: &c.retries, overruns: &c.overruns}
	r.checks.init()
	r.grants.init(c.lasting.standing.note)
	r.filters.init(r)
	r.inboxes.init(&r.connector, inboxSink{c.replied, &c.calls})
	r.answers.init(&r.connector)
	err := r.open(r.id)
	for s := range c.subs {
		if err == nil {
			err = r.prepare(s)
		}
		if err == nil {
			err = s.at.Want(c.wanted(s.Session, s.Filter))
		}
	}
	if err != nil {
		for _, at := range r.subscribers() {
			at.sched.Close()
		}
		return nil, err
	}
	r.clearLeft()
	return r, nil
}

// publish publishes on the connection of the topic.
func (r *run) publish(ctx context.Context, m *Message) error {
	return r.pubs.of(m.Topic).Publish(ctx, m)
}

// publisherExpiry keeps the publisher's session for a reconnect, which resends
// what is in flight, and not for much longer.
const publisherExpiry = 5 * time.Minute

// open makes the sessions; nothing connects yet. The client's lock is held.
func (r *run) open(id string) (err error) {
	c := &r.client.cfg
	subscribes := len(r.client.subs) > 0

	var will *Message
	if subscribes {
		will = r.presence.will(c.Will)
	}
	if r.sub, err = r.newSubscriber("", will); err != nil {
		return err
	}
	publisher := id + c.PublisherSuffix
	r.pubs, err = newPublishers(c.Connections, publisher, func(id string) (*session.Session, error) {
		pub := c.session(id)
		pub.Negotiation, pub.SessionExpiry, pub.FreshStart = r.version, publisherExpiry, true
		first := id == publisher
		pub.Unrouted = func(topic []byte) { r.client.unrouted.note(topic, r.events.do) }
		pub.Notify = func(e session.Event) {
			r.publishing(id, e)
			main := first && r.main() != r.sub.Session
			r.events.add(e, main)
			r.presence.online(e, main)
		}
		if !subscribes && first {
			pub.Will = r.presence.will(c.Will)
		}
		return session.New(pub)
	})
	return err
}

// start opens the main connection and waits for its first outcome, for which it
// tries each address once.
func (r *run) start(ctx context.Context) error {
	c := r.client
	if err := r.parking.Restore(ctx); err != nil {
		return err
	}
	main := r.main()
	others := r.others.list()
	for _, at := range r.subscribers() {
		if at.Session != main && at == r.sub {
			continue // nothing is subscribed, and it stays closed
		}
		r.filters.begin(ctx, at, c.wants(at.name))()
		at.strays.expectNone(r.filters.gone(at))
		if err := at.connect(); err != nil {
			return err
		}
	}
	if c.hadSubscriptions() {
		r.grants.none(true)
	}
	main.Start()
	if c.cfg.Retained {
		r.checks.run(func(ctx context.Context) {
			if r.main().WaitReady(ctx) == nil {
				r.parking.Ensure(ctx)
			}
		})
	}
	if c.store.Parks() {
		r.checks.run(r.parking.Watch)
	}
	if len(c.cfg.SelfTest) > 0 {
		r.checks.run(func(ctx context.Context) {
			if r.main().WaitReady(ctx) == nil {
				r.test.run(ctx)
			}
		})
	}
	// The attempts have bounds of their own, and what they met says more than this one.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(c.cfg.Addresses))*c.connectTimeout()+time.Second)
	defer cancel()
	err := main.WaitAttempt(ctx)
	for _, at := range others {
		if err == nil {
			err = at.WaitAttempt(ctx)
		}
	}
	if err == nil || (!c.cfg.FailFast && !session.Final(err)) {
		return nil // down: the supervisor goes on trying
	}
	return err
}

// main is the connection that readiness is about: the subscriber's once it was
// started in this run, also when its last subscription has ended.
func (r *run) main() *session.Session {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.client.subs) > 0 || r.sub.Started() {
		return r.sub.Session
	}
	return r.pubs.first()
}

// prepare registers a subscription with this run's scheduler.
func (r *run) prepare(s *Subscription) error {
	var err error
	if s.at, err = r.subscriber(s.Session); err != nil {
		return err
	}
	s.lane, s.backlog, s.batch = s.at.sched.NewLane(s.Concurrency), nil, newBatcher(r, s)
	if r.client.cannotPark(s) == nil {
		s.backlog, err = r.newBacklog(s, r.client.owner(s))
	}
	if err == nil {
		s.flow, err = r.flow(s)
	}
	if err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	s.at.backlogs.Add(s.backlog)
	r.grants.expect(s.Session)
	return nil
}

// stop ends intake, drains the handlers, lets acknowledgements and publishes
// leave, and says DISCONNECT on every connection.
func (r *run) stop(ctx context.Context) error {
	subscribers := r.subscribers()
	for _, at := range subscribers {
		at.StopIntake()
		at.strays.close()
		at.backlogs.Close()
	}
	r.checks.stop()
	drained := drain(ctx, subscribers)
	r.presence.offline(ctx)
	closeAll(ctx, subscribers)
	outbox, flying := r.flush(ctx)
	r.grants.none(false)
	r.closePublishers(ctx)
	r.left.report(r.client, drained, outbox, flying)
	r.events.wait(ctx)
	if drained != nil {
		return fmt.Errorf("mqtt: handlers did not finish in time: %w", drained)
	}
	return nil
}

// closePublishers closes them, and what requests use, side by side: each may wait for its publishes.
func (r *run) closePublishers(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range r.pubs.sessions {
		wg.Go(func() { s.Close(ctx) })
	}
	wg.Go(func() { r.answers.conn.close(ctx) })
	wg.Go(func() { r.inboxes.close(ctx) })
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

// failed reports whether Start has ended with an error.
func (r *run) failed() bool {
	select {
	case <-r.began:
		return r.failure != nil
	default:
		return false
	}
}

// flush lets go what waits for the broker on this side, and returns what is left
// and how much of that the sessions have, too.
func (r *run) flush(ctx context.Context) (left, flying int) {
	if o := r.client.outbox; o != nil {
		return o.Stop(ctx)
	}
	return 0, 0
}

// publishing receives state changes of the publishing connections immediately: the
// outbox must learn of a loss before the next connection, because the messages in
// flight may have caused it.
func (r *run) publishing(id string, e session.Event) {
	o, up := r.client.outbox, false
	if o == nil {
		return
	}
	switch e.(type) {
	case session.Attached:
		up = true
	case session.ConnectionLost, session.ConnectFailed, session.TakenOver:
	default:
		return
	}
	o.Connection(up, r.pubs.note(id, up))
}

// clearLeft has the broker forget what was taken back while the client was
// stopped. The client's lock is held.
func (r *run) clearLeft() {
	c := r.client
	if !c.cfg.persistent() {
		clear(c.left)
	}
	for name := range c.left {
		for _, at := range r.subscribers() {
			if at.name == name.session {
				at.Clear(name.filter)
				at.strays.forget(name.filter)
			}
		}
	}
}
