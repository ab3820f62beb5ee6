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

// Typed is how the messages of a subscription are decoded before its handler gets them,
// and the names that the configuration knows the subscription by. The configuration
// takes precedence over the fields here and in [Subscription].
type Typed struct {
	// Operation and Topic are further names of the subscription, beside its filter: the
	// method's name, and the filter as it was registered. Either may be "".
	Operation, Topic string

	// Codec decodes what names no codec itself; nil leaves the bytes to the handler.
	Codec envelope.Codec
	// New makes what a message is decoded into, anew for each attempt; nil leaves
	// the bytes.
	New func() any
	// Method is what generated code knows of the messages; nil is a subscription by
	// hand.
	Method *Method
	// IDField names the field that has the id of a message, and takes precedence over
	// the method's; it may be "".
	IDField string
	// IDsSpanTopics says that ids are unique over topics.
	IDsSpanTopics bool
	// IDScope has several subscriptions remember ids together; nil is one of its own.
	IDScope *IDScope

	// Values are put over those of the context of an attempt; it may be nil. It must
	// never end.
	Values context.Context
	// TrustSender takes trace context, baggage and metadata from the sender.
	TrustSender bool
	// Span starts a span around one call of the handler, of a batch or of one
	// message, and returns what ends it. Nil starts none.
	Span func(ctx context.Context, ds []*Delivery, batch bool) (context.Context, func(error))

	// Undecodable is called in the place of the handler for what cannot be decoded.
	// Its nil error acknowledges the message. Nil returns err.
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

	// Batch has messages handled many at a time; nil handles each by itself.
	Batch *TypedBatch
}

// TypedBatch has decoded messages handled many at a time.
type TypedBatch struct {
	MaxSize int
	MaxWait time.Duration
	// Handle is called with one message at least. An [event.ItemErrors] decides
	// about each.
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

// consume has a consumer read the messages of a subscription, and applies what
// the configuration says about it.
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
	r := &consumer{sub: s, typed: own, handler: s.Handler, filter: own.Topic}
	r.client.Store(c)
	var err error
	if s.release, err = r.claim(c); err != nil {
		return bad(err)
	}
	known := []string{own.Operation, own.Topic, s.Filter}
	c.lasting.names.add(known...) // also of a subscription that is refused: its key is right
	p := c.cfg.policies.policy(policyOf(s), known...)
	p.apply(s)
	p.place(s, own.Operation, own.Topic)
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

// itemErrors takes the decisions about each of n messages out of an error; what
// is left is about all of them.
func itemErrors(err error, n int) (items []error, rest error) {
	list, ok := errors.AsType[event.ItemErrors](err)
	switch {
	case !ok:
		return nil, err
	case len(list) != n:
		return nil, fmt.Errorf("handler of a batch decided about %d of %d messages: %w", len(list), n, err)
	}
	return list, nil
}
