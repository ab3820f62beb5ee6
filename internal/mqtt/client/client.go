package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Client is one service's link to its broker. Subscriptions belong to the
// client and outlive Stop; connections belong to one run between Start and
// Stop. All methods are safe for concurrent use.
type Client struct {
	cfg      Config
	log      Logger
	router   *topic.Trie[*Subscription]
	counts   counts
	store    deadletter.Store
	parked   parking.Totals
	calls    callbacks
	unrouted unrouted

	mu       sync.Mutex
	subs     map[*Subscription]func()   // registered, with what takes it out of the router
	same     map[string][]*Subscription // those, by filter
	known    map[uint32]int             // how many of those have an identifier
	left     map[subscriptionName]bool  // taken back while stopped
	had      bool                       // a subscription, ever
	run      atomic.Pointer[run]        // nil while stopped; changed under mu
	presence *Presence                  // nil tells nothing
	last     *run                       // the one that was stopped last, perhaps not yet at its end

	began chan struct{} // closed while there is a run

	retries, overruns logsafe.Few // lines of the log
}

// NewClient checks the configuration and opens nothing yet. The subscriptions
// of an old client, which may be nil and must be stopped, move over.
func NewClient(cfg Config, old *Client) (*Client, error) {
	if err := cfg.resolve(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, log: cfg.Logger,
		router: topic.NewTrie[*Subscription](0), subs: make(map[*Subscription]func()), same: make(map[string][]*Subscription),
		known: make(map[uint32]int), left: make(map[subscriptionName]bool),
		began: make(chan struct{}),
	}
	c.calls.log, c.unrouted.log = c.log, c.log
	if c.store = cfg.DeadLetters; c.store == nil {
		c.store = c.newRetained()
	}
	if old == nil {
		return c, nil
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	c.presence, c.had = old.presence, old.had
	for s := range old.subs {
		if err := c.register(s); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Endpoint is the first broker's URL, without user information.
func (c *Client) Endpoint() string { return c.cfg.Addresses[0].String() }

// Start connects: the subscriber when there are subscriptions, else the
// publisher. It waits for the outcome of the first attempt, which tries each
// address of the list once, within ctx and the connect timeout of each. A refused
// filter, and a login or settings that every address refuses, are errors and
// nothing is left running; a broker that is down is one with FailFast only,
// and otherwise tried again for as long as the client runs. A context that has
// ended is an error. A second Start waits for the outcome of the first, and
// returns the same. Contexts of handlers have ctx's values, and not its end.
func (c *Client) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return gaveUp("not started", err)
	}
	r, first, err := c.begin(ctx)
	switch {
	case err != nil:
		return err
	case !first:
		return r.join(ctx, r.began, &r.failure, "waiting for the outcome of another Start")
	}
	err = r.start(ctx)
	if err != nil {
		_ = c.Stop(ctx)
	}
	r.failure = err
	close(r.began)
	return err
}

// join waits within ctx for what somebody else has begun, and returns its error.
func (r *run) join(ctx context.Context, over <-chan struct{}, outcome *error, what string) error {
	select {
	case <-over:
		return *outcome
	case <-ctx.Done():
	}
	select {
	case <-over: // at once: the truth is the better answer
		return *outcome
	default:
		return gaveUp(what, ctx.Err())
	}
}

func gaveUp(what string, err error) error {
	reason := event.ReasonCanceled
	if errors.Is(err, context.DeadlineExceeded) {
		reason = event.ReasonTimeout
	}
	return &event.Error{Op: "connect", Reason: reason, Cause: fmt.Errorf("%s: %w", what, err)}
}

// begin makes the run of a Start, unless there is one already. It waits for
// the end of the one before: both would use the same client ids.
func (c *Client) begin(ctx context.Context) (r *run, first bool, err error) {
	for {
		c.mu.Lock()
		last := c.last
		if last == nil || last.hasStopped() {
			break
		}
		c.mu.Unlock()
		select {
		case <-last.stopped:
		case <-ctx.Done():
			return nil, false, gaveUp("waiting for the end of Stop", ctx.Err())
		}
	}
	defer c.mu.Unlock()
	if r := c.run.Load(); r != nil {
		return r, false, nil
	}
	if r, err = newRun(ctx, c); err == nil {
		c.run.Store(r)
		close(c.began)
	}
	return r, true, err
}

// Stop drains within ctx, or within 10 s when ctx has no deadline: intake
// ends, handlers finish, acknowledgements and publishes leave, DISCONNECT.
// What is left is logged by count; it stays unacknowledged, for the broker to
// deliver again. Afterwards no goroutine remains but that of a callback for
// credentials or TLS settings that has not returned. A second Stop waits, within
// its own context, for the end of the first, and returns the same. Stop before
// Start does nothing.
func (c *Client) Stop(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultStopTimeout)
		defer cancel()
	}
	c.mu.Lock()
	r, last := c.run.Load(), c.last
	if r != nil {
		c.run.Store(nil)
		c.last, c.began = r, make(chan struct{})
	}
	c.mu.Unlock()
	switch {
	case r != nil:
		defer close(r.stopped)
		r.unclean = r.stop(ctx)
		return r.unclean
	case last != nil && !last.hasStopped():
		return last.join(ctx, last.stopped, &last.unclean, "waiting for the end of another Stop")
	}
	return nil
}

// Running reports whether the client is between Start and Stop.
func (c *Client) Running() bool { return c.current() != nil }

// Stopped says that the client was never started, or that Stop has ended: its
// subscriptions may move to another.
func (c *Client) Stopped() bool { return c.publishing() == nil }

func (c *Client) current() *run { return c.run.Load() }

// publishing is the run that publishes go to: also one that is being stopped,
// whose handlers may still need to publish. It is nil while stopped.
func (c *Client) publishing() *run {
	if r := c.run.Load(); r != nil {
		return r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.run.Load() == nil && c.last != nil && !c.last.hasStopped() {
		return c.last
	}
	return c.run.Load()
}

// Publish returns nil when the broker has acknowledged the message (QoS 1 and
// 2) or the bytes were handed to a live connection (QoS 0).
func (c *Client) Publish(ctx context.Context, m *Message) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = r.pubs.of(m.Topic).Publish(ctx, m)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Republish is Publish for what came from the broker: it is held to no limit of
// ours on what is published, which whoever sent it did not know.
func (c *Client) Republish(ctx context.Context, m *Message) error {
	r := c.publishing()
	if r == nil {
		return &event.Error{Op: "publish", Topic: m.Topic, Reason: event.ReasonNotConnected, Cause: errNotStarted}
	}
	return r.pubs.of(m.Topic).Publish(ctx, m)
}

// PublishAsync calls fn once with the outcome, unless it returns an error. It
// waits within ctx for a connection and for room in the in-flight window, which
// callbacks that have not run take from each other.
func (c *Client) PublishAsync(ctx context.Context, m *Message, fn func(error)) error {
	return c.publishAsync(ctx, m, fn, (*session.Session).PublishAsync)
}

// Relay is PublishAsync for a callback that waits for nothing of the user's: one
// of those that hangs does not hold it up.
func (c *Client) Relay(ctx context.Context, m *Message, fn func(error)) error {
	return c.publishAsync(ctx, m, fn, (*session.Session).Relay)
}

func (c *Client) publishAsync(ctx context.Context, m *Message, fn func(error),
	publish func(*session.Session, context.Context, *Message, func(error)) error,
) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = publish(r.pubs.of(m.Topic), ctx, m, fn)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Answer publishes the answer to a request as [Client.Publish] does, on a
// connection of its own: what cannot be delivered there holds up nothing that is
// published, nor the other way round.
func (c *Client) Answer(ctx context.Context, m *Message) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = r.answers.publish(ctx, m)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Apart reports whether what is published on a topic would wait for a connection
// that is not there yet, while another one is.
func (c *Client) Apart(topic string) bool {
	r := c.publishing() // also while the outbox is flushed at the end
	return r != nil && r.pubs.apart(topic)
}

// Check refuses what cannot be published, without a connection.
func (c *Client) Check(m *Message) error {
	if err := c.checkSize(m); err != nil {
		return err
	}
	return session.Valid(m)
}

// checkSize refuses a payload or headers over the limits.
func (c *Client) checkSize(m *Message) error {
	var err error
	if n := len(m.Payload); n > c.cfg.MaxPayload {
		err = payloadError(n, c.cfg.MaxPayload)
	} else if m.Properties != nil {
		err = envelope.CheckHeaders(m.Properties.User)
	}
	if err == nil {
		return nil
	}
	return &event.Error{Op: "publish", Topic: m.Topic, Reason: event.ReasonTooLarge, Cause: err}
}

func (c *Client) mayPublish(m *Message) (*run, error) {
	if m == nil {
		return nil, &event.Error{Op: "publish", Reason: event.ReasonBadRequest, Cause: errors.New("message is nil")}
	}
	if err := c.checkSize(m); err != nil {
		return nil, err
	}
	r := c.publishing()
	if r == nil {
		return nil, c.absent("publish", m.Topic)
	}
	return r, nil
}

// WaitReady returns nil once connected with every filter granted. It waits
// within ctx, also for Start.
func (c *Client) WaitReady(ctx context.Context) error {
	for {
		c.mu.Lock()
		r, began := c.run.Load(), c.began
		c.mu.Unlock()
		if r != nil {
			return r.waitReady(ctx)
		}
		select {
		case <-began:
		case <-ctx.Done():
			return c.absent("connect", "")
		}
	}
}

// Protocol is the version that the broker speaks, waiting for the connection
// when none was there yet.
func (c *Client) Protocol(ctx context.Context) (session.Protocol, error) {
	r := c.publishing()
	if r == nil {
		return Auto, c.absent("connect", "")
	}
	if v := r.version.Settled(); v != Auto {
		return v, nil
	}
	main := r.main()
	main.Start()
	err := main.WaitReady(ctx)
	if v := r.version.Settled(); v != Auto {
		return v, nil
	}
	return Auto, err
}

// Status is a snapshot of the main connection; it is ready when every session
// is.
func (c *Client) Status() session.Status {
	r := c.current()
	if r == nil {
		return session.Status{Ended: true}
	}
	return r.status()
}

var errNotStarted = errors.New("not started")

// absent is the error of a call that needs a run while there is none.
func (c *Client) absent(op, topic string) error {
	err := c.absence()
	reason := event.ReasonNotConnected
	if errors.Is(err, errStopped) {
		reason = event.ReasonClosed
	}
	return &event.Error{Op: op, Topic: topic, Reason: reason, Cause: err}
}

// absence is why there is no run: the client was stopped, or was never started,
// which a failed Start counts as.
func (c *Client) absence() error {
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last != nil && !last.failed() {
		return errStopped
	}
	return errNotStarted
}

func payloadError(size, limit int) error {
	return fmt.Errorf("payload of %d bytes, limit %d", size, limit)
}

func (c *Client) connectTimeout() time.Duration {
	return cmp.Or(c.cfg.ConnectTimeout, session.DefaultConnectTimeout)
}
