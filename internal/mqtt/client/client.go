package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Client is one service's connection to its broker, with settings that do not change.
// Subscriptions belong to the client and outlive Stop; connections belong to one run
// between Start and Stop. All methods are safe for concurrent use, and return an
// [event.Error].
type Client struct {
	subscriptions
	publisher
	requester
	retention
	cfg     Config
	hooks   *hook.Set
	replies request.Rules
	log     logsafe.Log
	counts  counts
	parked  parking.Totals
	calls   callbacks

	reloading reloading
	unrouted  unrouted

	lasting  *Lasting
	run      atomic.Pointer[run] // nil while stopped; changed under mu
	presence *Presence           // nil publishes nothing
	parts    *partitions
	last     *run // the run that was stopped last; it may not have ended yet

	began chan struct{} // closed while there is a run
}

// New resolves the settings, and reports all their problems together with those of the
// caller. It does not connect yet. The new client takes over the subscriptions of the
// previous one, which must be stopped.
func New(s *Settings, lasting *Lasting, problems error) (*Client, error) {
	c := &Client{began: make(chan struct{}), lasting: lasting}
	if err := c.resolve(s, problems); err != nil {
		return nil, err
	}
	c.retention.init(c)
	store := c.cfg.DeadLetters
	if store == nil {
		store = newRetained(c)
	}
	c.subscriptions.init(&c.cfg, c.log, store)
	if old := lasting.Client(); old != nil {
		if err := c.takeOver(old); err != nil {
			return nil, configError(err)
		}
	}
	c.parts = newPartitions(c, s)
	if old := lasting.Client(); old != nil {
		c.parts.subs = old.parts.subs
	}
	c.reloading.now = c.cfg.given
	c.reloading.start = c.cfg.tuned(c.sending.Load())
	lasting.now.Store(c)
	s.warn(c.log, &c.cfg)
	return c, nil
}

// resolve makes the parts of the client.
func (c *Client) resolve(s *Settings, problems error) error {
	cfg, unfit := s.resolve()
	invalid := cfg.resolve()
	c.cfg, c.log = cfg, logsafe.Log{Logger: cfg.Logger, Limiter: &c.lasting.lines}
	c.calls.log, c.unrouted.log = c.log, c.log
	if files := c.cfg.certificates; files != nil {
		files.log, files.try = c.log, func(ctx context.Context, config *tls.Config) error {
			config = config.Clone()
			config.NextProtos = s.ALPN
			return session.TryTLS(ctx, &c.cfg.Connection, config)
		}
	}
	var noHooks, unsent, unkept, unbound error
	c.hooks, noHooks = hook.New(s.Hooks, c.log)
	if len(s.Hooks) > 0 {
		c.cfg.Hooks = c.hooks.Calls()
	}
	if f := cfg.OnConnect; f != nil {
		c.cfg.OnConnect = func() { c.hooks.Connection("OnConnect", f) }
	}
	if f := cfg.OnDisconnect; f != nil {
		c.cfg.OnDisconnect = func(err error) {
			c.hooks.Connection("OnDisconnect", func() { f(ErrorOf("connect", "", err)) })
		}
	}
	c.publisher, unsent = newPublisher(c, s)
	c.requester = newRequester(c)
	unkept = c.openOutbox(s.Outbox, c, &c.unrouted)
	c.replies, unbound = s.replies()
	return configError(unfit, noHooks, unsent, unkept, unbound, problems, invalid)
}

// takeOver takes over the subscriptions of the client that c replaces.
func (c *Client) takeOver(old *Client) error {
	old.mu.Lock()
	defer old.mu.Unlock()
	c.presence, c.had = old.presence, old.had
	for s := range old.subs {
		if s.consumer != nil {
			s.consumer.client.Store(c)
		}
		if err := errors.Join(c.nameGroup(s), c.register(s)); err != nil {
			return err
		}
	}
	return nil
}

// Endpoint returns the first broker's URL, without user information.
func (c *Client) Endpoint() string { return c.cfg.Addresses[0].String() }

// Start connects the subscriber if there are subscriptions, otherwise the publisher. It
// waits within ctx for the outcome of the first attempt, which tries each address once
// within its connect timeout. If the broker refuses a filter, or every address refuses the
// login or settings, Start returns an error and nothing stays running. If the broker is
// down, it returns an error only with FailFast; otherwise the client tries again until
// Stop. A ctx that has ended is an error. A second Start waits for the outcome of the first
// and returns the same. Contexts of handlers have the values of ctx, but not its end.
func (c *Client) Start(ctx context.Context) error {
	if ctx == nil {
		return BadRequest("connect", "", "context is nil")
	}
	if err := c.start(ctx); err != nil {
		return ErrorOf("connect", "", err)
	}
	if err := c.parts.start(ctx); err != nil {
		_ = c.Stop(ctx)
		return ErrorOf("connect", "", configError(err))
	}
	if c.outbox != nil {
		c.outbox.Start()
		if !c.Running() { // Stop was called meanwhile, before the run existed
			c.outbox.Stop(ctx)
		}
	}
	return nil
}

func (c *Client) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return gaveUp("not started", err)
	}
	if err := c.unnamed(); err != nil {
		return err
	}
	if !c.cfg.fenced {
		c.lasting.names.warnUnknown(&c.cfg.policies, c.log)
	}
	r, first, err := c.begin(ctx)
	switch {
	case err != nil:
		return err
	case !first:
		return join(ctx, r.began, &r.failure, "waiting for the outcome of another Start")
	}
	err = r.start(ctx)
	if err != nil {
		_ = c.stop(ctx)
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

// begin makes the run of a Start, unless there is one already. It waits for the end of the
// previous run, because both use the same client ids.
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

// Reload applies a changed configuration while the client runs: user name, password, TLS
// files, concurrency, breakers, how handlers and publishes are retried, and their time
// limits. It applies nothing and returns every problem if a changed value is invalid. Each
// setting that is used after a restart only is an [event.SettingError] with the cause
// [event.ErrNeedsRestart]; the others have been applied. What a section leaves unset has
// its default; sections that the client was not made from are ignored. Safe for concurrent
// use.
func (c *Client) Reload(s *v1.Settings) error { return c.reloading.reload(c, s) }

// Stop drains within ctx, or within 10 s when ctx has no deadline: it ends intake, waits
// for handlers, sends acknowledgements and pending publishes, and disconnects. The number
// of messages that are left is logged; they stay unacknowledged, and the broker delivers
// them again. Afterwards no goroutine remains except that of a callback for credentials or
// TLS settings that has not returned. A second Stop waits, within its own context, for the
// end of the first and returns the same. Stop before Start does nothing.
func (c *Client) Stop(ctx context.Context) error {
	if ctx == nil {
		return BadRequest("disconnect", "", "context is nil")
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultStopTimeout)
		defer cancel()
	}
	c.parts.stop(ctx)
	err := ErrorOf("disconnect", "", c.stop(ctx))
	c.lasting.replies.Wait(ctx) // their connection is closed
	c.lasting.requests.Wait(ctx)
	c.hooks.Wait(ctx)
	if c.sequence != nil {
		c.sequence.Reset()
	}
	return err
}

func (c *Client) stop(ctx context.Context) error {
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

// Stopped reports whether the client was never started, or Stop has ended. Only then may
// its subscriptions move to another client.
func (c *Client) Stopped() bool { return c.publishing() == nil }

func (c *Client) current() *run { return c.run.Load() }

// publishing returns the run that publishes use: also one that is being stopped, whose
// handlers may still need to publish. It is nil while stopped.
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

// WaitReady returns nil once the client is connected with every filter granted. It waits
// within ctx, also for Start.
func (c *Client) WaitReady(ctx context.Context) error {
	if ctx == nil {
		return BadRequest("connect", "", "context is nil")
	}
	return ErrorOf("connect", "", c.waitReady(ctx))
}

func (c *Client) waitReady(ctx context.Context) error {
	for {
		c.mu.Lock()
		r, began := c.run.Load(), c.began
		c.mu.Unlock()
		if r != nil {
			if err := r.waitReady(ctx); err != nil {
				return err
			}
			return c.parts.each(func(r *partitionRun) error { return r.client.waitReady(ctx) })
		}
		select {
		case <-began:
		case <-ctx.Done():
			return c.absent("connect", "")
		}
	}
}

// Protocol returns the version that the broker speaks. It waits for the first connection.
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

// Status returns a snapshot of the main connection, which is ready only if every session
// is.
func (c *Client) Status() session.Status {
	r := c.current()
	if r == nil {
		return session.Status{Ended: true}
	}
	return r.status()
}

var errNotStarted = errors.New("not started")

// absent returns the error of a call that needs a run while there is none.
func (c *Client) absent(op, topic string) error {
	err := c.absence()
	reason := event.ReasonNotConnected
	if errors.Is(err, errStopped) {
		reason = event.ReasonClosed
	}
	return &event.Error{Op: op, Topic: topic, Reason: reason, Cause: err}
}

// absence returns why there is no run: the client was stopped or never started; a failed
// Start counts as never started.
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

// Later calls f on a goroutine of the client, after earlier calls. A panic in f is logged. Stop
// waits for it within its context.
func (c *Client) Later(f func()) {
	r := c.publishing()
	if r == nil {
		c.calls.call(f)
		return
	}
	r.events.do(func() { c.calls.call(f) })
}

// Speaks returns the version that the broker speaks, or the configured one before the first
// connection; [Auto] while it is not known.
func (c *Client) Speaks() session.Protocol {
	if r := c.publishing(); r != nil {
		return r.version.Settled()
	}
	return c.cfg.protocol()
}

// Announce makes the client publish its presence from the next Start on. It returns an
// error if a will is configured.
func (c *Client) Announce(p *Presence) error {
	if w := c.cfg.Will; w != nil {
		return fmt.Errorf("a will is configured, on topic %q, and a connection has one", w.Topic)
	}
	if err := errors.Join(c.envelope.Check(p.Offline), session.Valid(p.Offline)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.presence = p
	return nil
}

// Log returns the logger.
func (c *Client) Log() logsafe.Log { return c.log }

// ClientID returns the client id, or "" if each run has another one.
func (c *Client) ClientID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg.ClientID
}

// Codec returns the codec of a name, or nil if it is not registered.
func (c *Client) Codec(name string) envelope.Codec { return c.envelope.Registered(name) }

// Configured returns the configuration of one operation, or nil.
func (c *Client) Configured(operation string) *v1.Subscription {
	return c.cfg.Subscriber.GetSubscriptions()[operation]
}

// CannotReply reports whether requests have no place for a response topic, as far as the
// protocol is known.
func (c *Client) CannotReply() bool { return c.envelope.Source == "" && c.Speaks() == Version31 }

// Protect calls a function of the user, and logs its panic.
func (c *Client) Protect(what string, f func()) { hook.Protect(c.log, what, f) }

// NewReplier returns a replier, and an error for invalid templates. Even then the replier
// is not nil, but has no templates.
func (c *Client) NewReplier(own ReplierSettings) (*Replier, error) { return c.lasting.newReplier(own) }

// DeadLetters returns the store in use: the configured one, or the retained messages at the
// broker, which need a connection.
func (c *Client) DeadLetters() deadletter.Store { return c.store }

// openInbox returns a topic for the reply to one request, subscribed to on the current
// connection; name is the caller's own topic, or empty for the client's. Topics that no
// request waits on are unsubscribed when room is needed; if there are none, openInbox waits
// within ctx. The inbox must be closed.
func (c *Client) openInbox(ctx context.Context, name string) (*Inbox, error) {
	r := c.publishing()
	if r == nil {
		return nil, c.absent("request", name)
	}
	return r.inboxes.open(ctx, name)
}

// join waits within ctx for an operation that another call has begun, and returns its
// error.
func join(ctx context.Context, over <-chan struct{}, outcome *error, what string) error {
	select {
	case <-over:
		return *outcome
	case <-ctx.Done():
	}
	select {
	case <-over: // the outcome is a better answer than the end of ctx
		return *outcome
	default:
		return gaveUp(what, ctx.Err())
	}
}

// Format writes only the address and client id, whatever the verb, because settings have
// secrets.
func (c *Client) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "mqtt client "+c.ClientID()+" of "+c.Endpoint())
}

// Decode decodes a reply into the value of a binder, with the codec that its content type
// names, or else with codec.
func (c *Client) Decode(d *Delivery, codec envelope.Codec, to any) error {
	return c.envelope.Decode(&d.Event, codec, to)
}
