package event

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
)

// RegisterOption changes how a service is registered.
type RegisterOption interface{ applyRegistration(r *Registration) }

// Registration is the result of the options of a [ServiceRegistrar].
type Registration struct {
	// Group replaces the group of every method; nil keeps them.
	Group *string
	// FilterPrefix is put before every filter, and removed from a topic before its parameters
	// are bound. It may contain the wildcard +.
	FilterPrefix string
	// StrictTopic makes a payload that contradicts its topic a permanent error.
	StrictTopic bool
	// Batches are the batch handlers by name of the method.
	Batches map[string]Batch
	// Sessions are the names of separate sessions by name of the method. An empty name means
	// that it is derived from the method.
	Sessions map[string]string

	breakers        map[string]Breaker // by name of the method; "" applies to all others
	trust, retained choices
	ids, keys       choices // that span topics
	only, except    []string
	errs            []error
}

// choices are boolean settings by name of a method; the entry "" applies to all others.
type choices map[string]bool

func (c choices) set(yes bool, methods []string) {
	if len(methods) == 0 {
		clear(c) // a choice for all methods overrides earlier ones for some
		methods = []string{""}
	}
	for _, m := range methods {
		c[m] = yes
	}
}

func (c choices) of(method string, otherwise bool) bool {
	if yes, ok := c[method]; ok {
		return yes
	}
	if yes, ok := c[""]; ok {
		return yes
	}
	return otherwise
}

// NewRegistration applies options. It returns all their errors joined.
func NewRegistration(d *ServiceDesc, opts []RegisterOption) (*Registration, error) {
	r := &Registration{
		Batches: make(map[string]Batch), Sessions: make(map[string]string),
		breakers: make(map[string]Breaker),
		trust:    make(choices), retained: make(choices), ids: make(choices), keys: make(choices),
	}
	for _, o := range opts {
		if o != nil {
			o.applyRegistration(r)
		}
	}
	for _, name := range slices.Concat(r.only, r.except) {
		if d.Method(name) == nil {
			r.errs = append(r.errs, fmt.Errorf("%s has no method %q", d.Name, name))
		}
	}
	named := slices.Sorted(maps.Keys(r.Sessions))
	named = append(named, slices.Sorted(maps.Keys(r.trust))...)
	named = append(named, slices.Sorted(maps.Keys(r.retained))...)
	named = append(named, slices.Sorted(maps.Keys(r.ids))...)
	named = append(named, slices.Sorted(maps.Keys(r.keys))...)
	named = append(named, slices.Sorted(maps.Keys(r.breakers))...)
	for _, name := range named {
		if name != "" && d.Method(name) == nil {
			r.errs = append(r.errs, fmt.Errorf("%s has no method %q", d.Name, name))
		}
	}
	for name, b := range r.Batches {
		if m := d.Method(name); m != b.Method {
			r.errs = append(r.errs, fmt.Errorf("%s: the batch handler is for %s", d.Name, b.Method.Operation))
		}
		if b.MaxSize < 1 || b.MaxWait < 0 {
			r.errs = append(r.errs, fmt.Errorf("%s: batches of %d messages within %v", b.Method.Operation, b.MaxSize, b.MaxWait))
		}
	}
	return r, errors.Join(r.errs...)
}

// Wants reports whether a method should be registered.
func (r *Registration) Wants(method string) bool {
	return (r.only == nil || slices.Contains(r.only, method)) && !slices.Contains(r.except, method)
}

// TrustsSender reports whether the senders of a method are trusted.
func (r *Registration) TrustsSender(m *MethodDesc) bool { return r.trust.of(m.Name, m.TrustSender) }

// IgnoresRetained reports whether retained messages are acknowledged without calling the
// handler of a method. A request is never retained.
func (r *Registration) IgnoresRetained(m *MethodDesc) bool {
	return m.Reply == nil && r.retained.of(m.Name, m.IgnoreRetained)
}

// Breaker returns the breaker of a method, or nil if no option sets one.
func (r *Registration) Breaker(m *MethodDesc) *Breaker {
	for _, name := range []string{m.Name, ""} {
		if b, ok := r.breakers[name]; ok {
			return &b
		}
	}
	return nil
}

// IDsSpan reports whether the message ids of a method are unique over all its topics.
func (r *Registration) IDsSpan(m *MethodDesc) bool { return r.ids.of(m.Name, m.IDsSpanTopics) }

// KeysSpan reports whether a key of a method orders all topics of a filter.
func (r *Registration) KeysSpan(m *MethodDesc) bool { return r.keys.of(m.Name, m.KeysSpanTopics) }

type registerOption func(*Registration)

func (o registerOption) applyRegistration(r *Registration) { o(r) }

// Only registers just these methods, by their names in proto. An unknown name is an error of
// Start. Default: all methods.
func Only(methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.only = append(r.only, methods...) })
}

// Except registers all methods except these. An unknown name is an error of Start.
func Except(methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.except = append(r.except, methods...) })
}

// Group makes the subscriptions of the service shared: each message is delivered to one
// consumer of the group. "{service}" is the name of the service. "" makes none of them shared.
// Default: as in proto.
func Group(name string) RegisterOption {
	return registerOption(func(r *Registration) { r.Group = &name })
}

// FilterPrefix puts levels before every topic filter, such as "site/plant1", or "site/+" for
// all sites. A trailing slash is ignored; a leading slash makes every filter start with a
// slash. A dead-letter topic of a method gets the levels of the received message. The presence
// topic of a service gets the prefix, unless it has wildcards. Default: no prefix.
func FilterPrefix(levels string) RegisterOption {
	return registerOption(func(r *Registration) { r.FilterPrefix = levels })
}

// StrictTopic dead-letters a message whose payload contradicts its topic. Default: the values
// of the topic are used, and the message is counted.
func StrictTopic() RegisterOption {
	return registerOption(func(r *Registration) { r.StrictTopic = true })
}

// OwnSession uses, for a method, a broker session of its own, with its own in-flight window and
// queue, so that its unacknowledged messages do not delay other subscriptions. The client id
// of the session is that of the server, a hyphen and the name; an empty name means the name of
// the method. Methods with the same name share a session. An unknown method is an error of
// Start. Default: the session of all other methods, unless the configuration sets another one.
func OwnSession(method, name string) RegisterOption {
	return registerOption(func(r *Registration) { r.Sessions[method] = name })
}

// BreakerFor sets the breaker of these methods, or of all methods if none is named; the zero
// value means no breaker. Each method has a breaker of its own. While it is open, the messages
// of the method stay unacknowledged, and none is retried, parked or dead-lettered. An unknown
// method, a negative number and more than 1,000 failures are errors of Start. The configuration
// of the operation takes precedence. Default: the breaker of the server, if it has one.
func BreakerFor(b Breaker, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) {
		if len(methods) == 0 {
			clear(r.breakers) // a choice for all methods overrides earlier ones for some
			methods = []string{""}
		}
		for _, m := range methods {
			r.breakers[m] = b
		}
	})
}

// TrustSender sets whether the senders of these methods, or of all methods if none is named,
// are trusted with the context of the handler. If so, their trace context is the parent of the
// handler's span instead of a link, their baggage is in the context, and their x-md- headers
// become Kratos metadata, which is passed on with messages that the handler publishes. Make
// sure that the broker lets only trusted clients publish on these topics. An unknown method is
// an error of Start. The configuration of the operation takes precedence. Default:
// trust_sender of the proto option, else false.
func TrustSender(trust bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.trust.set(trust, methods) })
}

// IgnoreRetained sets whether retained messages of these methods, or of all methods if none is
// named, are acknowledged without calling the handler. They are counted in RetainedIgnored of
// [Health]. On MQTT 5 the broker is also asked not to send them. An unknown method is an error
// of Start. The configuration of the operation takes precedence. Default: ignore_retained of
// the proto option, else false.
func IgnoreRetained(ignore bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.retained.set(ignore, methods) })
}

// IDsSpanTopics sets whether a message id of these methods, or of all methods if none is
// named, is unique over all topics of the method. If so, the dedup window suppresses a message
// that arrives again on another topic. Note that a client which may publish on one of the
// topics can then suppress messages on the others. The levels of a [FilterPrefix] with
// wildcards still separate ids. An unknown method is an error of Start. Default: as in proto,
// where an id is unique within its topic only.
func IDsSpanTopics(span bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.ids.set(span, methods) })
}

// KeysSpanTopics sets whether an ordering key of these methods, or of all methods if none is
// named, orders the messages of all topics of a filter. Note that a client which may publish
// on one of the topics can then delay the keys of others: while one of its messages is retried
// or parked, all messages with that key wait. The levels of a [FilterPrefix] with wildcards
// still separate keys. An unknown method is an error of Start. Default: as in proto, where a
// key applies within its topic, and a key that is a parameter of the topic applies within the
// parameters before it.
func KeysSpanTopics(span bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.keys.set(span, methods) })
}

// Batch is a batch handler.
type Batch struct {
	Method  *MethodDesc
	MaxSize int
	MaxWait time.Duration
	// Call handles the messages. nil means that all of them are handled. An error applies to
	// all messages, unless it is an [ItemErrors], which has an entry for each message.
	Call func(ctx context.Context, in []proto.Message) error
}

// ItemErrors is the error of a batch handler that decides about each message: one entry per
// message, in order, and nil for a message that was handled. A message with an error is
// retried or dead-lettered on its own.
type ItemErrors []error

// Error returns the number of failures and the first one.
func (e ItemErrors) Error() string {
	n, first := 0, error(nil)
	for _, err := range e {
		if err != nil {
			if n++; first == nil {
				first = err
			}
		}
	}
	return fmt.Sprintf("%d of %d messages failed, the first one: %v", n, len(e), first)
}

// Unwrap returns all entries.
func (e ItemErrors) Unwrap() []error { return e }

func (b Batch) applyRegistration(r *Registration) { r.Batches[b.Method.Name] = b }

// BatchOption changes the limits of batches.
type BatchOption func(*Batch)

// BatchSize sets the maximum number of messages of a batch. Default: that of the method.
func BatchSize(n int) BatchOption { return func(b *Batch) { b.MaxSize = n } }

// BatchWait sets how long the first message of a batch waits for more messages. Default: that
// of the method.
func BatchWait(d time.Duration) BatchOption { return func(b *Batch) { b.MaxWait = d } }
