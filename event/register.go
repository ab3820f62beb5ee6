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

// Registration is what a [ServiceRegistrar] is asked to do, once its options
// are applied.
type Registration struct {
	// Group replaces that of every method; nil leaves them.
	Group *string
	// TopicPrefix is put in front of every filter, and taken away again before
	// a topic is bound. It may hold the wildcard +.
	TopicPrefix string
	// StrictTopic makes a payload that contradicts its topic an error that no
	// retry helps.
	StrictTopic bool
	// Batches are handlers of many messages, by the name of the method.
	Batches map[string]Batch
	// Sessions are those of methods that have one of their own, by the name of the
	// method; an empty one is to be derived.
	Sessions map[string]string

	trust, retained choices
	ids, keys       choices // that span topics
	only, except    []string
	errs            []error
}

// choices are answers by the name of a method; that of "" is for all others.
type choices map[string]bool

func (c choices) set(yes bool, methods []string) {
	if len(methods) == 0 {
		clear(c) // what was said of some before is over
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

// NewRegistration applies options, and reports what is wrong with them all at
// once.
func NewRegistration(d *ServiceDesc, opts []RegisterOption) (*Registration, error) {
	r := &Registration{
		Batches: make(map[string]Batch), Sessions: make(map[string]string),
		trust: make(choices), retained: make(choices), ids: make(choices), keys: make(choices),
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

// Wants reports whether a method is to be registered.
func (r *Registration) Wants(method string) bool {
	return (r.only == nil || slices.Contains(r.only, method)) && !slices.Contains(r.except, method)
}

// TrustsSender reports whether the senders of a method are trusted.
func (r *Registration) TrustsSender(m *MethodDesc) bool { return r.trust.of(m.Name, m.TrustSender) }

// IgnoresRetained reports whether a method's handler sees no retained messages. A
// request is never retained.
func (r *Registration) IgnoresRetained(m *MethodDesc) bool {
	return m.Reply == nil && r.retained.of(m.Name, m.IgnoreRetained)
}

// IDsSpan reports whether the ids of a method are unique over its topics.
func (r *Registration) IDsSpan(m *MethodDesc) bool { return r.ids.of(m.Name, m.IDsSpanTopics) }

// KeysSpan reports whether a key of a method orders all topics of a filter.
func (r *Registration) KeysSpan(m *MethodDesc) bool { return r.keys.of(m.Name, m.KeysSpanTopics) }

type registerOption func(*Registration)

func (o registerOption) applyRegistration(r *Registration) { o(r) }

// Only registers these methods, by their names in proto. An unknown name is an
// error of Start. Default: all.
func Only(methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.only = append(r.only, methods...) })
}

// Except registers all but these methods. An unknown name is an error of Start.
func Except(methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.except = append(r.except, methods...) })
}

// Group makes the subscriptions of the service shared: each message goes to
// one consumer of the group. "" makes none shared. Default: as in proto.
func Group(name string) RegisterOption {
	return registerOption(func(r *Registration) { r.Group = &name })
}

// TopicPrefix puts levels in front of every topic filter, such as
// "site/plant1" or, for all sites, "site/+". A slash at the end says nothing, one
// at the start begins every filter with a slash. A dead-letter topic of a method is
// under the levels that the message came with; the presence of a service under
// the prefix, unless that has wildcards. Default: none.
func TopicPrefix(levels string) RegisterOption {
	return registerOption(func(r *Registration) { r.TopicPrefix = levels })
}

// StrictTopic dead-letters a message whose payload contradicts its topic.
// Default: the topic wins, and the message is counted.
func StrictTopic() RegisterOption {
	return registerOption(func(r *Registration) { r.StrictTopic = true })
}

// OwnSession gives a method a session of its own with the broker, with its own
// in-flight window and queue: what it does not acknowledge holds up no other
// subscription. Its client id ends with a hyphen and the name; "" takes the name of
// the method. Methods that give the same name share a session. An unknown method is
// an error of Start. Default: the session of all others, unless the configuration
// says otherwise.
func OwnSession(method, name string) RegisterOption {
	return registerOption(func(r *Registration) { r.Sessions[method] = name })
}

// TrustSender says whether the senders of these methods, or of all when none is
// named, are trusted with the context of the handler: then their trace context is the
// parent of its span instead of a link, their baggage is in the context, and their
// x-md- headers are Kratos metadata, which goes along with what the handler
// publishes. The broker must let nobody else publish on the topics. An unknown method
// is an error of Start. The configuration of the operation counts over it. Default: as
// in proto, which is false unless it says trust_sender.
func TrustSender(trust bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.trust.set(trust, methods) })
}

// IgnoreRetained says whether messages that the broker had kept are acknowledged and
// counted (RetainedIgnored of the health) without a call of the handlers of these
// methods, or of all when none is named. On MQTT 5 the broker is also asked not to
// send them. An unknown method is an error of Start. The configuration of the
// operation counts over it. Default: as in proto, which is false unless it says
// ignore_retained.
func IgnoreRetained(ignore bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.retained.set(ignore, methods) })
}

// IDsSpanTopics says whether an id of these methods, or of all when none is named, is
// unique over all topics of the method: a message that comes again on another topic is
// a duplicate for the dedup window then. Whoever may publish on one of the topics can
// have messages on the others acknowledged unhandled. The levels of a [TopicPrefix]
// with wildcards still keep ids apart. An unknown method is an error of Start.
// Default: as in proto, where an id counts within its topic.
func IDsSpanTopics(span bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.ids.set(span, methods) })
}

// KeysSpanTopics says whether an ordering key of these methods, or of all when none is
// named, orders the messages of all topics of a filter. Whoever may publish on one of
// the topics can then hold up the keys of others: while a message is retried, or
// parked, the key waits. The levels of a [TopicPrefix] with wildcards still keep keys
// apart. An unknown method is an error of Start. Default: as in proto, where a key
// counts within its topic, and one that is a parameter of the topic within the
// parameters in front of it.
func KeysSpanTopics(span bool, methods ...string) RegisterOption {
	return registerOption(func(r *Registration) { r.keys.set(span, methods) })
}

// Batch is a handler of many messages.
type Batch struct {
	Method  *MethodDesc
	MaxSize int
	MaxWait time.Duration
	// Call handles the messages. nil means all of them are handled; an error is
	// that of each of them, unless it is an [ItemErrors], which has one for each.
	Call func(ctx context.Context, in []proto.Message) error
}

// ItemErrors is the error of a batch handler that decides about each message:
// one entry for each, in order, nil for a message that was handled. A message
// with an error is handled again, or dead-lettered, by itself.
type ItemErrors []error

// Error counts the failures and returns the first.
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

// Unwrap returns the errors.
func (e ItemErrors) Unwrap() []error { return e }

func (b Batch) applyRegistration(r *Registration) { r.Batches[b.Method.Name] = b }

// BatchOption changes the bounds of batches.
type BatchOption func(*Batch)

// BatchSize is the most messages of a batch. Default: the method's.
func BatchSize(n int) BatchOption { return func(b *Batch) { b.MaxSize = n } }

// BatchWait is how long the first message of a batch waits for the last.
// Default: the method's.
func BatchWait(d time.Duration) BatchOption { return func(b *Batch) { b.MaxWait = d } }
