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

// chain is a handler with its middleware around it. It is built before the
// first message can arrive; one that cannot be built fails each attempt,
// because middleware such as an authorisation must not be left out.
type chain struct {
	of   *matcher
	call middleware.Handler // nil when err is not
	err  error
}

// built returns what to call.
func (c *chained) built() (middleware.Handler, error) {
	b := c.chain.Load()
	if b == nil {
		return nil, errNotBuilt
	}
	return b.call, b.err
}

// build builds the chain from the middleware that there is now. While it does,
// Use may add more and build it as well: none replaces a later one.
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

// subscribe registers the handler, whose chain Start builds, or, once that was
// called, this.
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

// Unsubscribe takes the registration back and waits up to 10 s for the
// UNSUBACK; the argument has no effect. Again it does nothing.
func (s *subscription) Unsubscribe(remove bool) error {
	s.chained.server.handlers.forget(s.chained)
	return s.Subscriber.Unsubscribe(remove)
}

// handlers are those that a server registered, with the middleware around them.
type handlers struct {
	middleware atomic.Pointer[matcher]
	log        func() client.Logger

	mu    sync.RWMutex
	all   map[*chained]struct{}
	began bool // Start was called: what is registered has its middleware at once
}

func (h *handlers) init(log func() client.Logger) {
	h.log, h.all = log, make(map[*chained]struct{})
	h.middleware.Store(new(matcher))
}

// change replaces the middleware that there is.
func (h *handlers) change(change func(*matcher)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.middleware.Store(h.middleware.Load().with(change))
}

// enlist has the chain built by Start and with each Use from then on.
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

// build builds those chains that are not of the middleware that there is now,
// and those that could not be built.
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

// rebuild is build where there is nobody to return an error to.
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
