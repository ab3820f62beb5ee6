package operation

import (
	"context"
	"errors"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// Front is what the server of a front hands to its registry. All functions are required.
type Front struct {
	// Client returns the client of the server; the error is that of the options.
	Client func() (*client.Client, error)
	// Service returns the name of the application in the context of Start, or "".
	Service func(ctx context.Context) string
	// Start and Stop connect and disconnect.
	Start, Stop func(ctx context.Context) error
	// Subscribe subscribes a handler of a generated service; set changes the subscription
	// before the options of the front, which take precedence.
	Subscribe func(h *Handler, filter string, binder func() any, set func(*option.Subscription)) error
	// Begin begins the attempts of handlers, and Attempt finds that of a context, or nil.
	Begin   Begin
	Attempt func(ctx context.Context) *Attempt
}

// Registry has the operations of a server: handlers with their middleware, and generated
// services. All methods are safe for concurrent use.
type Registry struct {
	front    Front
	handlers handlers
	services services
	stopped  order
}

// Init must be called before anything else, once. The functions of the front are not called
// by it.
func (r *Registry) Init(front Front) {
	r.front = front
	r.handlers.init(r.log)
}

// Middleware adds middleware around every handler.
func (r *Registry) Middleware(ms ...Middleware) {
	r.handlers.change(func(all *matcher) { all.use(ms...) })
}

// Use adds middleware for a selector: an operation, or a prefix with "*" at its end. It
// applies to every attempt that begins after Use returned.
func (r *Registry) Use(selector string, ms ...Middleware) {
	r.handlers.change(func(all *matcher) { all.add(selector, ms...) })
	r.handlers.rebuild()
}

// Start builds the chains of the handlers, and starts the server. The first Start after a
// Stop that came before it returns nil and connects nothing.
func (r *Registry) Start(ctx context.Context) error {
	if r.stopped.first() {
		return nil
	}
	if c, err := r.front.Client(); err == nil {
		if err := c.NameService(r.front.Service(ctx)); err != nil {
			return err
		}
	}
	if err := errors.Join(r.services.ready(r), r.handlers.build()); err != nil {
		return err
	}
	if err := r.front.Start(ctx); err != nil {
		if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonClosed {
			return nil
		}
		return err
	}
	return r.services.began(ctx, r)
}

// Stop stops the server.
func (r *Registry) Stop(ctx context.Context) error {
	r.stopped.early()
	return r.front.Stop(ctx)
}

// Mismatches counts the messages whose payload contradicts their topic.
func (r *Registry) Mismatches() int64 { return r.services.mismatches.Load() }

// log returns the logger, which logs nothing if there is no client.
func (r *Registry) log() logsafe.Log {
	c, err := r.front.Client()
	if err != nil {
		return logsafe.Log{Logger: logsafe.Silence}
	}
	return c.Log()
}

// problem returns why the options cannot work, or nil if they can.
func (r *Registry) problem() error {
	_, err := r.front.Client()
	return err
}

// cannotReply reports whether requests have no place for a response topic, as far as the
// protocol is known.
func (r *Registry) cannotReply() bool {
	c, err := r.front.Client()
	return err == nil && c.CannotReply()
}

// configured returns the configuration of an operation, or nil without one.
func (r *Registry) configured(operation string) *v1.Subscription {
	c, err := r.front.Client()
	if err != nil {
		return nil
	}
	return c.Configured(operation)
}
