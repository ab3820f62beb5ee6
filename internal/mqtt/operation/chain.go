package operation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// chain is a handler with its middleware around it. It is built before the first message
// can arrive. A chain that cannot be built fails each attempt, because middleware such as
// an authorisation must not be left out.
type chain struct {
	of   *matcher
	call Call // nil when err is not
	err  error
}

// built returns the handler with its middleware.
func (h *Handler) built() (Call, error) {
	b := h.chain.Load()
	if b == nil {
		return nil, errNotBuilt
	}
	return b.call, b.err
}

// build builds the chain from the current middleware. Use may add middleware and build it
// at the same time: a chain never replaces one of later middleware.
func (h *Handler) build() error {
	for {
		before, m := h.chain.Load(), h.of.handlers.middleware.Load()
		b := &chain{of: m}
		if b.call, b.err = client.Wrap(h.call, m.match(h.operation)); b.err != nil {
			b.err = fmt.Errorf("%s cannot be handled: %w", h.operation, b.err)
		}
		if h.chain.CompareAndSwap(before, b) && h.of.handlers.middleware.Load() == m {
			return b.err
		}
	}
}

// Subscribe adds the handler to those that get their middleware by Start and by each later
// Use, and calls subscribe. If Start was called before, the chain is built first. After an
// error the handler is forgotten.
func (h *Handler) Subscribe(subscribe func() error) error {
	all := &h.of.handlers
	if err := all.enlist(h); err != nil {
		return err
	}
	if err := subscribe(); err != nil {
		all.forget(h)
		return err
	}
	return nil
}

// Forget ends that the handler gets middleware. It is called when its subscription ends.
func (h *Handler) Forget() { h.of.handlers.forget(h) }

// handlers has the registered handlers of a server, with the middleware around them.
type handlers struct {
	middleware atomic.Pointer[matcher]
	log        func() logsafe.Log

	mu    sync.RWMutex
	all   map[*Handler]struct{}
	began bool // Start was called: the chain of a new handler is built at once
}

func (h *handlers) init(log func() logsafe.Log) {
	h.log, h.all = log, make(map[*Handler]struct{})
	h.middleware.Store(new(matcher))
}

// change replaces the current middleware.
func (h *handlers) change(change func(*matcher)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.middleware.Store(h.middleware.Load().with(change))
}

// enlist adds a chain to those that are built by Start and by each later Use.
func (h *handlers) enlist(c *Handler) error {
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

func (h *handlers) forget(c *Handler) {
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
		h.log().Error("mqtt: each message fails", logsafe.KeyError, err)
	}
}

var errNotBuilt = errors.New("its middleware is not built yet")
