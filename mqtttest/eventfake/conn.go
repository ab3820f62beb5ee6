// Package eventfake is a fake of the connection that generated clients publish through, for
// tests of code that sends events. No broker runs and nothing is encoded: a test compares
// topics, messages and options, chooses the errors, and answers the requests. It links no
// Kratos.
//
//	conn := eventfake.New(t)
//	notify := NewNotifier(fleetv1.NewFleetEventsMQTTClient(conn)) // the code under test
//	notify.Hot(ctx, "gate-1", 41)
//	conn.Want("fleet/devices/gate-1/reading", &fleetv1.Reading{DeviceId: "gate-1", Celsius: 41})
//	conn.WantNone()
//
// Code that takes a broker of kratos-transport is tested with package brokerfake, and whether
// messages arrive with a broker: mqtttest.InProcess.
package eventfake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/internal/calls"
)

// patience is how long Next and Want wait for a message.
const patience = 10 * time.Second

// Sent is one call of a generated client.
type Sent struct {
	// Method describes the method; its Operation is /pkg.Service/Method.
	Method *event.MethodDesc
	// Message is a copy of the message.
	Message proto.Message
	// Call has the topic, and the options of the call over those of the method. ID and
	// OrderingKey are those of the declared fields unless an option sets them.
	Call event.Call
	// Err is what the call returned.
	Err error
}

// String returns operation, topic and message.
func (s Sent) String() string {
	return fmt.Sprintf("%s on %s: %s", s.Method.Operation, s.Call.Topic, calls.Text(s.Message))
}

// Answer replies to a request; its error is returned to the client unchanged.
type Answer func(ctx context.Context, in proto.Message) (proto.Message, error)

// Conn is an [event.ClientConn] that records every call and accepts it, unless the test set an
// error. An invalid topic, a context that has ended, a wrong QoS and a negative expiry are the
// errors that a connection returns; sizes and headers are not checked. Safe for concurrent use.
type Conn struct {
	tb   testing.TB
	sent calls.Record[Sent]

	mu      sync.Mutex
	answers map[string]Answer // by operation
}

var _ event.ClientConn = (*Conn)(nil)

// New returns a connection that fails tb if a message is not as wanted.
func New(tb testing.TB) *Conn { return &Conn{tb: tb, answers: make(map[string]Answer)} }

// Publish implements [event.ClientConn].
func (c *Conn) Publish(ctx context.Context, m *event.MethodDesc, topic string, in proto.Message, opts ...event.CallOption) error {
	s := Sent{Method: m, Message: proto.Clone(in), Call: call(m, topic, in, opts)}
	if s.Err = calls.Refuse(ctx, "publish", s.Call); s.Err == nil {
		s.Err = c.sent.Failure(m.Operation)
	}
	c.sent.Add(s)
	return s.Err
}

// Request implements [event.ClientConn]. Without an answer for the operation the error is an
// [event.Error] with the reason TIMEOUT, at once.
func (c *Conn) Request(ctx context.Context, m *event.MethodDesc, topic string, in, out proto.Message, opts ...event.CallOption) error {
	s := Sent{Method: m, Message: proto.Clone(in), Call: call(m, topic, in, opts)}
	if s.Err = calls.Refuse(ctx, "request", s.Call); s.Err == nil {
		s.Err = c.sent.Failure(m.Operation)
	}
	if s.Err == nil {
		s.Err = c.answer(ctx, s, out)
	}
	c.sent.Add(s)
	return s.Err
}

func (c *Conn) answer(ctx context.Context, s Sent, out proto.Message) error {
	c.mu.Lock()
	answer := c.answers[s.Method.Operation]
	c.mu.Unlock()
	if answer == nil {
		return &event.Error{
			Op: "request", Topic: s.Call.Topic, Reason: event.ReasonTimeout, MayHaveBeenSent: true,
			Cause: errors.New("the test has set no answer for " + s.Method.Operation),
		}
	}
	reply, err := answer(ctx, proto.Clone(s.Message))
	if err != nil {
		return err
	}
	proto.Reset(out)
	proto.Merge(out, reply)
	return nil
}

// call applies options over those of a method, as the connection of package broker/mqtt does.
func call(m *event.MethodDesc, topic string, in proto.Message, opts []event.CallOption) event.Call {
	c := event.Call{Topic: topic, QoS: m.QoS, Retain: m.Retain, Expiry: m.Expiry}
	c.Apply(opts...)
	if c.ID == "" && m.ID != nil {
		c.ID = m.ID(in)
	}
	if c.OrderingKey == "" && m.Key != nil {
		c.OrderingKey = m.Key(in)
	}
	return c
}

// Fail makes the next calls of an operation (/pkg.Service/Method) return these errors, one
// each; a nil error is a call that succeeds. The calls are recorded all the same. A real
// connection returns an *event.Error, such as &event.Error{Reason: event.ReasonNotConnected}.
func (c *Conn) Fail(operation string, errs ...error) { c.sent.Fail(operation, errs...) }

// Answer sets what the requests of an operation (/pkg.Service/Method) receive, until it is set
// again. The answer is called on the goroutine of the request. [Reply] is the typed form.
func (c *Conn) Answer(operation string, answer Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[operation] = answer
}

// Reply sets what the requests of an operation (/pkg.Service/Method) receive, as [Conn.Answer]
// does, by a function with the signature of the server's method. A request of another type is
// an error with the reason CODEC.
func Reply[In, Out proto.Message](c *Conn, operation string, reply func(ctx context.Context, in In) (Out, error)) {
	c.Answer(operation, func(ctx context.Context, in proto.Message) (proto.Message, error) {
		typed, ok := in.(In)
		if !ok {
			var want In
			return nil, &event.Error{Op: "request", Reason: event.ReasonCodec, Cause: fmt.Errorf("%s takes a %T, not a %T", operation, want, in)}
		}
		out, err := reply(ctx, typed)
		return out, err
	})
}

// All returns every call so far, also those that failed, in their order.
func (c *Conn) All() []Sent { return c.sent.All() }

// Next returns the oldest call that neither Next nor Want returned before. It waits for one, and
// ends the test if there is none within 10 s, so call it on the goroutine of the test.
func (c *Conn) Next() Sent {
	c.tb.Helper()
	s, ok := c.sent.Take(patience)
	if !ok {
		c.tb.Fatalf("eventfake: nothing was sent within %v", patience)
	}
	return s
}

// Want is [Conn.Next], and fails the test unless topic, message and options are these. opts are
// applied over those of the method: what is not mentioned must be as the method declares it.
func (c *Conn) Want(topic string, in proto.Message, opts ...event.CallOption) {
	c.tb.Helper()
	s := c.Next()
	lines := calls.Differences(s.Call, call(s.Method, topic, in, opts))
	if !calls.Same(s.Message, in) {
		lines = append(lines, fmt.Sprintf("message %s, want %s", calls.Text(s.Message), calls.Text(in)))
	}
	if len(lines) > 0 {
		c.tb.Errorf("eventfake: %s: %s", s.Method.Operation, strings.Join(lines, "; "))
	}
}

// WantNone fails the test if there are calls that neither Next nor Want returned.
func (c *Conn) WantNone() {
	c.tb.Helper()
	for _, s := range c.sent.Rest() {
		c.tb.Errorf("eventfake: sent, and not wanted: %v", s)
	}
}
