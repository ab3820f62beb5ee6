package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// authentication is the enhanced authentication of one connection (MQTT 5,
// section 4.12). The client library sees none of its AUTH packets: it would call
// the user's code on its read loop. One goroutine, run, answers the broker,
// and authenticates again before the credentials expire.
type authentication struct {
	c      *conn
	with   event.Authenticator
	asking *callback[authStep]
	notify func(Event)
	limit  time.Duration // of a call of the user's code, and of an answer of the broker

	exchange *event.AuthExchange
	arrived  chan wire.Auth // from the read loop
	welcome  chan []byte    // data of the CONNACK that accepted the connection
	checked  chan error     // whether that data is right
	done     chan struct{}
	under    bool                  // an exchange is under way; for run only
	pending  atomic.Bool           // a re-authentication was sent and not answered
	failure  atomic.Pointer[error] // why the connection was ended, if this was the reason
}

// authStep is the result of a call of the user's code.
type authStep struct {
	exchange *event.AuthExchange
	data     []byte
}

// The rules of the exchange.
var (
	errAuth       = errors.New("the broker requires enhanced authentication")
	errAuthMethod = errors.New("AUTH names another authentication method [MQTT-4.12.0-5]")
	errAuthOrder  = errors.New("AUTH that answers nothing")
	errAuthMore   = errors.New("the broker wants more authentication data than the method has")
	errAuthSilent = errors.New("the broker did not answer the re-authentication")
	errAuthLong   = fmt.Errorf("authentication data is longer than %d bytes", math.MaxUint16)
)

// ReauthenticationFailed reports that new credentials could not be obtained. The
// connection lasts until the broker ends it; it is tried again.
type ReauthenticationFailed struct {
	ClientID string
	Err      error
	RetryIn  time.Duration
}

// Reauthenticated reports that the broker accepted new credentials on an open
// connection.
type Reauthenticated struct{ ClientID string }

func (ReauthenticationFailed) event() {}
func (Reauthenticated) event()        {}

// authenticate begins the exchange of a new connection.
func (d *dialer) authenticate(ctx context.Context, c *conn, cfg *Config) error {
	a := &authentication{
		c: c, with: cfg.Authenticator, asking: &d.asking, notify: cfg.Notify, limit: cfg.ConnectTimeout,
		arrived: make(chan wire.Auth, 1), welcome: make(chan []byte), checked: make(chan error, 1), done: make(chan struct{}),
	}
	x, err := a.begin(ctx)
	if err != nil {
		return &event.Error{Op: opConnect, Reason: event.ReasonNotAuthorized, Cause: fmt.Errorf("authentication: %w", err)}
	}
	a.exchange, a.under, c.auth = x, true, a
	go a.run()
	return nil
}

// accepted checks the data of the CONNACK.
func (a *authentication) accepted(ctx context.Context, data []byte) error {
	select {
	case a.welcome <- data:
	case <-a.done:
		return a.reason(errAuthOrder)
	}
	select {
	case err := <-a.checked:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reason returns why the exchange ended the connection, or err if it did not.
func (a *authentication) reason(err error) error {
	if a == nil {
		return err
	}
	if failure := a.failure.Load(); failure != nil {
		return &event.Error{Op: opConnect, Reason: event.ReasonNotAuthorized, Cause: fmt.Errorf("authentication: %w", *failure)}
	}
	return err
}

// run owns the exchange until the connection ends.
func (a *authentication) run() {
	defer close(a.done)
	again := time.NewTimer(math.MaxInt64)
	defer again.Stop()
	failures := 0
	for {
		var err error
		select {
		case <-a.c.alive.Done():
			return
		case data := <-a.welcome:
			a.under = false
			err = a.finish(data)
			a.checked <- err
			a.schedule(again)
		case p := <-a.arrived:
			if err = a.answer(&p); err == nil && p.Reason == 0 {
				failures = 0
				a.schedule(again)
			}
		case <-again.C:
			if a.pending.Load() {
				err = errAuthSilent
				break
			}
			if failed := a.renew(); failed == nil {
				again.Reset(a.limit)
			} else if a.c.alive.Err() == nil {
				pause := min(time.Second<<min(failures, 5), 30*time.Second)
				failures++
				again.Reset(pause)
				a.notify(ReauthenticationFailed{a.c.s.cfg.ClientID, failed, pause})
			}
		}
		if err != nil {
			a.failure.Store(&err)
			a.c.abort(err)
			return
		}
	}
}

// schedule sets the timer to when the exchange has to be renewed.
func (a *authentication) schedule(t *time.Timer) {
	if at := a.exchange.Renew; at.IsZero() {
		t.Stop()
	} else {
		t.Reset(max(0, time.Until(at)))
	}
}

// renew begins a re-authentication (section 4.12.1).
func (a *authentication) renew() error {
	ctx, cancel := context.WithTimeout(a.c.alive, a.limit)
	defer cancel()
	x, err := a.begin(ctx)
	if err != nil {
		return err
	}
	a.exchange, a.under = x, true
	a.pending.Store(true)
	a.send(wire.ReasonReauthenticate, x.Data)
	return nil
}

// answer handles an AUTH of the broker.
func (a *authentication) answer(p *wire.Auth) error {
	if !a.under || p.Reason == 0 && !a.pending.Load() {
		return errAuthOrder
	}
	if p.Reason == 0 {
		a.under = false
		if err := a.finish(p.Data); err != nil {
			return err
		}
		a.pending.Store(false)
		a.notify(Reauthenticated{a.c.s.cfg.ClientID})
		return nil
	}
	more := a.exchange.Continue
	if more == nil {
		return errAuthMore
	}
	step, err := a.ask(func(ctx context.Context) (s authStep, err error) {
		s.data, err = more(ctx, p.Data)
		return s, err
	})
	if err == nil && len(step.data) > math.MaxUint16 {
		err = errAuthLong
	}
	if err == nil {
		a.send(wire.ReasonContinueAuthentication, step.data)
	}
	return err
}

func (a *authentication) finish(data []byte) error {
	check := a.exchange.Finish
	if check == nil {
		return nil
	}
	_, err := a.ask(func(ctx context.Context) (authStep, error) { return authStep{}, check(ctx, data) })
	return err
}

func (a *authentication) begin(ctx context.Context) (*event.AuthExchange, error) {
	step, err := a.asking.ask(ctx, a.c.s.panicked, func() (s authStep, err error) {
		s.exchange, err = a.with.Begin(ctx)
		return s, err
	})
	switch {
	case err != nil:
		return nil, err
	case step.exchange == nil:
		return nil, errors.New("the authenticator returned no exchange")
	case len(step.exchange.Data) > math.MaxUint16:
		return nil, errAuthLong
	}
	return step.exchange, nil
}

func (a *authentication) ask(f func(ctx context.Context) (authStep, error)) (authStep, error) {
	ctx, cancel := context.WithTimeout(a.c.alive, a.limit)
	defer cancel()
	return a.asking.ask(ctx, a.c.s.panicked, func() (authStep, error) { return f(ctx) })
}

func (a *authentication) send(code byte, data []byte) {
	p := wire.Auth{Reason: code, Method: a.with.Method(), Data: data}
	a.c.link.Control(p.Append(nil))
}
