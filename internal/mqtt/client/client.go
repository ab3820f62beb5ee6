package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Client is one service's link to its broker. Subscriptions belong to the
// client and outlive Stop; connections belong to one run between Start and
// Stop. All methods are safe for concurrent use.
type Client struct {
	subscriptions
	cfg      Config
	log      Logger
	counts   counts
	parked   parking.Totals
	calls    callbacks
	unrouted unrouted

	lasting  *lasting
	run      atomic.Pointer[run] // nil while stopped; changed under mu
	presence *Presence           // nil tells nothing
	last     *run                // the one that was stopped last, perhaps not yet at its end

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
		cfg: cfg, log: cfg.Logger, began: make(chan struct{}),
	}
	c.calls.log, c.unrouted.log = c.log, c.log
	store := cfg.DeadLetters
	if store == nil {
		store = newRetained(c)
	}
	c.subscriptions.init(&c.cfg, c.log, store)
	if old == nil {
		c.lasting = new(lasting)
		return c, nil
	}
	c.lasting = old.lasting
	old.mu.Lock()
	defer old.mu.Unlock()
	c.presence, c.had = old.presence, old.had
	for s := range old.subs {
		if s.consumer != nil {
			s.consumer.client.Store(c)
		}
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
	c.lasting.names.warnUnknown(&c.cfg.policies, c.log)
	r, first, err := c.begin(ctx)
	switch {
	case err != nil:
		return err
	case !first:
		return join(ctx, r.began, &r.failure, "waiting for the outcome of another Start")
	}
	err = r.start(ctx)
	if err != nil {
		_ = c.Stop(ctx)
	}
	r.failure = err
	close(r.began)
	return err
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
		return join(ctx, last.stopped, &last.unclean, "waiting for the end of another Stop")
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

func (c *Client) connectTimeout() time.Duration {
	return cmp.Or(c.cfg.ConnectTimeout, session.DefaultConnectTimeout)
}

// Later calls f on a goroutine of the client's own, behind what happened
// before; a panic in f is logged. Stop waits for it within its context.
func (c *Client) Later(f func()) {
	r := c.publishing()
	if r == nil {
		c.calls.call(f)
		return
	}
	r.events.do(func() { c.calls.call(f) })
}

// Speaks is the version that the broker turned out to speak, and before Start
// the one that is configured; [Auto] while that is not known.
func (c *Client) Speaks() session.Protocol {
	if r := c.publishing(); r != nil {
		return r.version.Settled()
	}
	return c.cfg.protocol()
}

// Announce has the client tell of itself from the next Start on. It is an error
// beside a will.
func (c *Client) Announce(p *Presence) error {
	if w := c.cfg.Will; w != nil {
		return fmt.Errorf("a will is configured, on topic %q, and a connection has one", w.Topic)
	}
	if err := c.Check(p.Offline); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.presence = p
	return nil
}

// DeadLetters is the store that is in use.
func (c *Client) DeadLetters() deadletter.Store { return c.store }

// OpenInbox returns a topic for the reply to one request, subscribed to on the
// present connection; name is the caller's own, or empty for the client's.
// Topics that no request waits on are given back when others are wanted; while
// there is none it waits within ctx. The inbox must be closed.
func (c *Client) OpenInbox(ctx context.Context, name string) (*Inbox, error) {
	r := c.publishing()
	if r == nil {
		return nil, c.absent("request", name)
	}
	return r.inboxes.get(ctx, name)
}

// join waits within ctx for what somebody else has begun, and returns its error.
func join(ctx context.Context, over <-chan struct{}, outcome *error, what string) error {
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
