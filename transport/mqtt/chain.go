package mqtt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// chain is a handler with its middleware around it. It is built before the first message
// can arrive. A chain that cannot be built fails each attempt, because middleware such as
// an authorisation must not be left out.
type chain struct {
	of   *matcher
	call middleware.Handler // nil when err is not
	err  error
}

// built returns the handler with its middleware.
func (c *chained) built() (middleware.Handler, error) {
	b := c.chain.Load()
	if b == nil {
		return nil, errNotBuilt
	}
	return b.call, b.err
}

// build builds the chain from the current middleware. Use may add middleware and build it
// at the same time: a chain never replaces one of later middleware.
func (c *chained) build() error {
	for {
		before, m := c.chain.Load(), c.server.handlers.middleware.Load()
		b := &chain{of: m}
		if b.call, b.err = client.Wrap(c.call, m.match(c.operation)); b.err != nil {
			b.err = fmt.Errorf("%s cannot be handled: %w", c.operation, b.err)
		}
		if c.chain.CompareAndSwap(before, b) && c.server.handlers.middleware.Load() == m {
			return b.err
		}
	}
}

// subscribe registers the handler. Its chain is built by Start, or here if Start was
// called before.
func (c *chained) subscribe(filter string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if err := c.server.handlers.enlist(c); err != nil {
		return nil, err
	}
	sub, err := c.server.broker.Subscribe(filter, handler, binder, opts...)
	if err != nil {
		c.server.handlers.forget(c)
		return nil, err
	}
	return &subscription{Subscriber: sub, chained: c}, nil
}

// subscription is the handle of one registration.
type subscription struct {
	broker.Subscriber
	chained *chained
}

// Unsubscribe removes the registration and waits up to 10 s for the UNSUBACK; the argument
// has no effect. A second call does nothing.
func (s *subscription) Unsubscribe(remove bool) error {
	s.chained.server.handlers.forget(s.chained)
	return s.Subscriber.Unsubscribe(remove)
}

// handlers has the registered handlers of a server, with the middleware around them.
type handlers struct {
	middleware atomic.Pointer[matcher]
	log        func() client.Logger

	mu    sync.RWMutex
	all   map[*chained]struct{}
	began bool // Start was called: the chain of a new handler is built at once
}

func (h *handlers) init(log func() client.Logger) {
	h.log, h.all = log, make(map[*chained]struct{})
	h.middleware.Store(new(matcher))
}

// change replaces the current middleware.
func (h *handlers) change(change func(*matcher)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.middleware.Store(h.middleware.Load().with(change))
}

// enlist adds a chain to those that are built by Start and by each later Use.
func (h *handlers) enlist(c *chained) error {
	h.mu.Lock()
	h.all[c] = struct{}{}
	began := h.began
	h.mu.Unlock()
	if !began {
		return nil
	}
	err := c.build()
	if err != nil {
		h.forget(c)
		return registerError(err)
	}
	return nil
}

func (h *handlers) forget(c *chained) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, c)
}

// build builds the chains that lack the current middleware, and those that could not be
// built before.
func (h *handlers) build() error {
	h.mu.Lock()
	h.began = true
	all := slices.Collect(maps.Keys(h.all))
	h.mu.Unlock()
	failed := make(map[string]error)
	for _, c := range all {
		if b := c.chain.Load(); b != nil && b.err == nil && b.of == h.middleware.Load() {
			continue
		}
		if err := c.build(); err != nil {
			failed[c.operation] = err
		}
	}
	errs := make([]error, 0, len(failed))
	for _, operation := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[operation])
	}
	if len(errs) == 0 {
		return nil
	}
	return registerError(errors.Join(errs...))
}

// rebuild is build for callers that cannot return an error.
func (h *handlers) rebuild() {
	h.mu.RLock()
	began := h.began
	h.mu.RUnlock()
	if !began {
		return
	}
	if err := h.build(); err != nil {
		h.log().Errorf("mqtt: each message fails: %v", err)
	}
}

var errNotBuilt = errors.New("its middleware is not built yet")

// begin puts the Transport of an attempt into its context, as
// transport.NewServerContext does.
func (c *chained) begin(ctx context.Context, e broker.Event, d *client.Delivery) (context.Context, *Transport) {
	h := &handling{ctx, Transport{chained: c, event: e, delivery: d, request: requestHeader(d)}}
	return h, &h.transport
}
