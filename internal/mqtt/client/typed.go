package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Typed is how the messages of a subscription are decoded for its handler, and the names of
// the subscription in the configuration, which takes precedence over the fields here and in
// [Subscription].
type Typed struct {
	// Operation and Topic are further names of the subscription, beside its filter: the
	// method's name, and the filter as it was registered. Either may be "".
	Operation, Topic string
	// Template is the topic template of a method, for hooks and spans; it may be "".
	Template string

	// Codec decodes messages that name no codec themselves; nil passes the bytes to the
	// handler.
	Codec envelope.Codec
	// New returns a new value to decode into, for each attempt; nil passes the bytes.
	New func() any
	// Method is what generated code knows of the messages; nil for a subscription by hand.
	Method *Method
	// IDField names the field that has the id of a message, and takes precedence over
	// the method's; it may be "".
	IDField string
	// IDsSpanTopics is set if ids are unique over all topics.
	IDsSpanTopics bool
	// IDScope makes several subscriptions share their ids; nil means a scope of its own.
	IDScope *IDScope

	// Values take precedence over the values of an attempt's context; it may be nil. It
	// must never end.
	Values context.Context
	// TrustSender accepts trace context, baggage and metadata from the sender.
	TrustSender bool

	// Undecodable is called instead of the handler for a message that cannot be decoded. If
	// it returns nil, the message is acknowledged. Nil returns err.
	Undecodable func(ctx context.Context, d *Delivery, err error) error
	// Failed is called before a message is dead-lettered; it may be nil. For a message
	// that cannot be decoded, the body is the payload's bytes.
	Failed func(ctx context.Context, d *Delivery, cause error)

	// Reasons are verdicts by reason or code of an error.
	Reasons map[string]event.Verdict
	// OwnSession puts the subscription into a separate session, named by SessionName
	// or, if that is "", by a name derived from Operation or Topic.
	OwnSession  bool
	SessionName string

	// Batch makes messages be handled many at a time; nil handles each alone.
	Batch *TypedBatch
}

// TypedBatch handles many decoded messages at a time.
type TypedBatch struct {
	MaxSize int
	MaxWait time.Duration
	// Handle is called with at least one message. An [event.ItemErrors] has a result for
	// each.
	Handle func(ctx context.Context, ds []*Delivery) error
}

// Single handles one message as a batch.
func (b *TypedBatch) Single(ctx context.Context, d *Delivery) error {
	items, err := itemErrors(b.Handle(ctx, []*Delivery{d}), 1)
	if items != nil {
		return items[0]
	}
	return err
}

// consume makes a consumer for the messages of a subscription, and applies the
// configuration of the subscription.
func consume(c *Client, s *Subscription) error {
	own := s.Typed
	bad := func(err error) error {
		return &event.Error{Op: "subscribe", Topic: logsafe.Clip(cmp.Or(own.Topic, s.Filter)), Reason: event.ReasonBadRequest, Cause: err}
	}
	if own.New != nil {
		if err := envelope.CheckDecodable(own.Codec, own.New()); err != nil {
			return &event.Error{Op: "subscribe", Topic: logsafe.Clip(cmp.Or(own.Topic, s.Filter)), Reason: event.ReasonCodec, Cause: err}
		}
	}
	if err := checkReasons(own.Reasons); err != nil {
		return bad(err)
	}
	r := &consumer{sub: s, typed: own, handler: s.Handler, filter: own.Topic, spans: c.spans.of(s.Filter, own)}
	r.client.Store(c)
	var err error
	if s.release, err = r.claim(c); err != nil {
		return bad(err)
	}
	known := []string{own.Operation, own.Topic, s.Filter}
	c.lasting.names.add(known...) // also if it is refused, because its key is correct
	s.code = policyOf(s)
	p := c.cfg.policies.policy(s.code, known...)
	p.apply(s)
	p.setSession(s, own.Operation, own.Topic)
	s.Handler, s.EventID, s.OnDeadLetter = r.handle, r.eventID, nil
	if own.Failed != nil {
		s.OnDeadLetter = r.failed
	}
	r.trusts = p.trustsSender()
	r.describe(s)
	r.collect(s)
	s.consumer = r
	return nil
}

// itemErrors returns the results for each of n messages that an error has, and the rest of
// the error, which applies to all of them.
func itemErrors(err error, n int) (items []error, rest error) {
	list, ok := errors.AsType[event.ItemErrors](err)
	switch {
	case !ok:
		return nil, err
	case len(list) != n:
		return nil, fmt.Errorf("handler of a batch returned results for %d of %d messages: %w", len(list), n, err)
	}
	return list, nil
}
