package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// run has what exists between Start and Stop.
type run struct {
	client *Client
	base   context.Context // the values of Start's context, for handlers
	connector
	sub       *subscriber // the main one; ready to be connected
	others    ownSessions
	pubs      *publishers
	inboxes   inboxes // for our requests
	answers   answers // to requests of others
	drops     drops
	leftovers leftovers
	began     chan struct{} // closed when the outcome of Start is known
	failure   error         // of Start; valid once began is closed
	stopped   chan struct{} // closed at the end of stop
	unclean   error         // of Stop; valid once stopped is closed

	flows
	renewal  renewal
	checks   background
	presence announcer
	grants   grants
	breakers breakers
	filters  filterBook

	test selfTest
}

// newRun makes a run. Handlers find the values of ctx in their contexts, but not its end:
// the context of Start often has a deadline, and handlers that still run when Kratos'
// context ends are drained by Stop.
func newRun(ctx context.Context, c *Client) (*run, error) {
	r := &run{client: c, base: context.WithoutCancel(ctx), began: make(chan struct{}), stopped: make(chan struct{})}
	r.connector = connector{
		cfg: &c.cfg, id: c.cfg.runID(), version: session.NewNegotiation(c.cfg.protocol()),
		events: &events{cfg: &c.cfg, log: c.log, calls: &c.calls, granted: c.warnUnsupported, left: &r.leftovers, outages: make(outages)},
	}
	r.presence = announcer{Presence: c.presence, main: r.main, checks: &r.checks, log: c.log}
	r.events.queue = queue.New(r.events.work)
	r.drops.notify, r.drops.calls, r.drops.later = c.cfg.Hooks.Dropped, &c.calls, r.events.do
	r.test.topics, r.test.conns, r.test.publish, r.test.log = c.cfg.SelfTest, &r.connector, r.publish, c.log
	r.flows = flows{cfg: &c.cfg, log: c.log, calls: &c.calls, parking: newParking(r), late: &c.counts.late}
	r.renewal = renewal{certificates: c.cfg.certificates, password: c.cfg.password, sessions: r.made}
	r.checks.init()
	r.breakers.run = r
	r.grants.init(c.lasting.subscriptionState.note)
	r.filters.init(r)
	r.inboxes.init(&r.connector, inboxSink{c.replied, &c.calls})
	r.answers.init(&r.connector)
	if c.cfg.certificates != nil {
		c.cfg.certificates.reread()
	}
	if c.cfg.password != nil {
		c.cfg.password.reread()
	}
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
	r.clearRemoved()
	return r, nil
}

// publish publishes a message on the connection that its topic uses.
func (r *run) publish(ctx context.Context, m *Message) error {
	return r.pubs.of(m.Topic).Publish(ctx, m)
}

// publisherExpiry is the session expiry of the publisher: long enough for a reconnect,
// which sends the messages in flight again.
const publisherExpiry = 5 * time.Minute

// open makes the sessions without connecting them. The client's lock is held.
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
		pub.IgnoreUnrouted = c.Preset.OwnNode
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

// start opens the main connection and waits for the outcome of its first attempt, which
// tries each address once.
func (r *run) start(ctx context.Context) error {
	c := r.client
	if err := r.parking.Restore(ctx); err != nil {
		return err
	}
	r.breakers.tellShared()
	main := r.main()
	others := r.others.list()
	for _, at := range r.subscribers() {
		if at.Session != main && at == r.sub {
			continue // nothing is subscribed: it stays unconnected
		}
		r.filters.begin(ctx, at, c.wants(at.name))()
		at.unmatched.expectNone(r.filters.unexpected(at))
		if err := at.connect(); err != nil {
			return err
		}
	}
	if c.hadSubscriptions() {
		r.grants.noSubscriptions(true)
	}
	main.Start()
	if c.cfg.certificates != nil || c.cfg.password != nil {
		r.checks.run(r.renewal.watch)
	}
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
	// Each attempt has its own timeout, and its error says more than the end of this
	// context.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(c.cfg.Addresses))*c.connectTimeout()+time.Second)
	defer cancel()
	err := main.WaitAttempt(ctx)
	for _, at := range others {
		if err == nil {
			err = at.WaitAttempt(ctx)
		}
	}
	if err == nil || (!c.cfg.FailFast && !session.Final(err)) {
		return nil // the broker is down: the supervisor tries again
	}
	return err
}

// main returns the connection that readiness depends on: the subscriber's if it was started
// in this run, even when its last subscription was removed, and otherwise the first
// publisher's.
func (r *run) main() *session.Session {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.client.subs) > 0 || r.sub.Started() {
		return r.sub.Session
	}
	return r.pubs.first()
}

// made returns the sessions that there are.
func (r *run) made() (all []*session.Session) {
	for _, at := range r.subscribers() {
		all = append(all, at.Session)
	}
	for _, s := range append(slices.Clip(r.pubs.sessions), r.answers.conn.made(), r.inboxes.conn.made()) {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

// prepare registers a subscription with this run's scheduler.
func (r *run) prepare(s *Subscription) error {
	var err error
	if s.at, err = r.subscriber(s.Session); err != nil {
		return err
	}
	if s.breaker, err = r.breakers.join(s); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	s.lane, s.backlog, s.batch = s.at.sched.NewLane(s.Concurrency), nil, newBatcher(r, s)
	s.breaker.Guard(s.lane)
	if r.client.cannotPark(s) == nil {
		s.backlog = r.newBacklog(s, r.client.owner(s))
	}
	s.flow = new(atomic.Pointer[delivery.Attempts[*Delivery]])
	if err = r.tune(s); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	s.at.backlogs.Add(s.backlog)
	r.grants.expect(s.Session)
	return nil
}

// stop ends intake, drains the handlers, sends pending acknowledgements and publishes, and
// disconnects every connection.
func (r *run) stop(ctx context.Context) error {
	subscribers := r.subscribers()
	for _, at := range subscribers {
		at.StopIntake()
		at.unmatched.close()
		at.backlogs.Close()
	}
	r.checks.stop()
	r.breakers.freeze()
	drained := r.breakers.excuse(drain(ctx, subscribers))
	r.presence.offline(ctx)
	closeAll(ctx, subscribers)
	outbox, flying := r.flush(ctx)
	r.grants.noSubscriptions(false)
	r.closePublishers(ctx)
	r.leftovers.report(r.client, drained, outbox, flying)
	r.client.log.Flush()
	r.events.wait(ctx)
	if drained != nil {
		return fmt.Errorf("mqtt: handlers did not finish in time: %w", drained)
	}
	return nil
}

// closePublishers closes the publishers and the connections of requests and replies
// concurrently, because each may wait for its publishes.
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

// flush stops the outbox. It returns the number of entries left in it, and how many of
// those are in flight on the sessions.
func (r *run) flush(ctx context.Context) (left, flying int) {
	if o := r.client.outbox; o != nil {
		return o.Stop(ctx)
	}
	return 0, 0
}

// publishing reports state changes of the publishing connections to the outbox,
// immediately: the outbox must learn of a loss before the next connection, because the
// messages in flight may have caused it.
func (r *run) publishing(id string, e session.Event) {
	o, up := r.client.outbox, false
	if o == nil {
		return
	}
	switch e.(type) {
	case session.Attached:
		up = true
	case session.ConnectionLost, session.ConnectFailed, session.TakenOver, session.Renewed:
	default:
		return
	}
	o.Connection(up, r.pubs.note(id, up))
}

// clearRemoved unsubscribes the filters that were removed while the client was stopped. The
// client's lock is held.
func (r *run) clearRemoved() {
	c := r.client
	if !c.cfg.persistent() {
		clear(c.removedWhileStopped)
	}
	for name := range c.removedWhileStopped {
		for _, at := range r.subscribers() {
			if at.name == name.session {
				at.Clear(name.filter)
				at.unmatched.filterRemoved(name.filter)
			}
		}
	}
}
