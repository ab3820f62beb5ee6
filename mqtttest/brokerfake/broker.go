// Package brokerfake is a fake broker of kratos-transport, for tests of code that publishes,
// subscribes or requests by hand. Nothing listens and no bytes are sent: a test compares topics,
// bodies and options, chooses the errors, answers the requests, and calls the handlers.
//
//	b := brokerfake.New(t)
//	saver := NewSaver(b) // the code under test: subscribes, and publishes what it saved
//	err := b.Deliver(ctx, "reports/event", broker.NewMessage(&Report{ID: "1"}))
//	b.Want("reports/saved", &Saved{ID: "1"}, event.QoS(2))
//
// Code that sends with a generated client is tested with package eventfake, and whether
// messages arrive with a broker: mqtttest.InProcess.
package brokerfake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/internal/calls"
)

// patience is how long Next and Want wait for a message.
const patience = 10 * time.Second

// Sent is one Publish or Request.
type Sent struct {
	// Message is the message that was given, without its headers.
	Message *broker.Message
	// Call has the topic and the options of broker/mqtt, over QoS 1. ID is that of an option,
	// else of the message; Headers are those of the message and of the options.
	Call event.Call
	// Requested is set for a Request.
	Requested bool
	// Err is what the call returned.
	Err error
}

// Answer replies to a request; its error is returned to the requester unchanged.
type Answer func(ctx context.Context, msg *broker.Message) (*broker.Message, error)

// Broker is a broker of kratos-transport that records every call and accepts it, unless the
// test set an error. It needs no Connect, and passes nothing that is published to handlers:
// [Broker.Deliver] does. Bodies are not encoded, and a request's binder is not used. An invalid
// topic, a context that has ended, a wrong QoS and a negative expiry are the errors that a
// connection returns; sizes and headers are not checked. Safe for concurrent use.
type Broker struct {
	tb   testing.TB
	sent calls.Record[Sent]

	mu            sync.Mutex
	options       broker.Options
	answers       map[string]Answer // by topic
	subscriptions []*subscription
}

var _ broker.Broker = (*Broker)(nil)

// New returns a broker that fails tb if a message is not as wanted.
func New(tb testing.TB, opts ...broker.Option) *Broker {
	return &Broker{tb: tb, options: broker.NewOptionsAndApply(opts...), answers: make(map[string]Answer)}
}

// Name returns "fake".
func (b *Broker) Name() string { return "fake" }

// Options returns the options of New and Init.
func (b *Broker) Options() broker.Options {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.options
}

// Address returns the addresses of the options, joined by commas.
func (b *Broker) Address() string { return strings.Join(b.Options().Addrs, ",") }

// Init applies more options.
func (b *Broker) Init(opts ...broker.Option) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.options.Apply(opts...)
	return nil
}

// Connect does nothing.
func (b *Broker) Connect() error { return nil }

// Disconnect does nothing.
func (b *Broker) Disconnect() error { return nil }

// Publish records a message.
func (b *Broker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	s := b.call(ctx, "publish", topic, msg, opts)
	b.sent.Add(s)
	return s.Err
}

// Request records a message and returns what the answer of its topic returns. Without an answer
// the error is an [event.Error] with the reason TIMEOUT, at once.
func (b *Broker) Request(ctx context.Context, topic string, msg *broker.Message, _ ...broker.RequestOption) (*broker.Message, error) {
	s := b.call(ctx, "request", topic, msg, nil)
	s.Requested = true
	var reply *broker.Message
	if s.Err == nil {
		reply, s.Err = b.answer(ctx, topic, msg)
	}
	b.sent.Add(s)
	return reply, s.Err
}

func (b *Broker) answer(ctx context.Context, topic string, msg *broker.Message) (*broker.Message, error) {
	b.mu.Lock()
	answer := b.answers[topic]
	b.mu.Unlock()
	if answer == nil {
		return nil, &event.Error{
			Op: "request", Topic: topic, Reason: event.ReasonTimeout, MayHaveBeenSent: true,
			Cause: errors.New("the test has set no answer for " + topic),
		}
	}
	return answer(ctx, msg)
}

// call describes a call, and the error that it returns.
func (b *Broker) call(ctx context.Context, op, topic string, msg *broker.Message, opts []broker.PublishOption) (s Sent) {
	s.Call, s.Err = mqttbroker.CallOf(opts...)
	c := &s.Call
	c.Topic = cmp.Or(c.Topic, topic)
	if msg == nil {
		s.Err = &event.Error{Op: op, Topic: topic, Reason: event.ReasonBadRequest, Cause: errors.New("the message is nil")}
		return s
	}
	c.ID = cmp.Or(c.ID, msg.ID)
	for _, key := range slices.Sorted(maps.Keys(msg.Headers)) {
		c.Headers = append(c.Headers, message.Header{Key: key, Value: msg.Headers[key]})
	}
	s.Message = msg.Clone()
	s.Message.Headers = nil
	if s.Err == nil {
		s.Err = calls.Refuse(ctx, op, s.Call)
	}
	if s.Err == nil {
		s.Err = b.sent.Failure(topic)
	}
	return s
}

// Fail makes the next publishes and requests to a topic return these errors, one each; a nil
// error is a call that succeeds. The calls are recorded all the same. A real broker of this
// module returns an *event.Error, such as &event.Error{Reason: event.ReasonNotConnected}.
func (b *Broker) Fail(topic string, errs ...error) { b.sent.Fail(topic, errs...) }

// Answer sets what the requests to a topic receive, until it is set again. The answer is called
// on the goroutine of the request. The body of its message is returned as it is: pass a pointer
// of the requester's type for mqttbroker.Request.
func (b *Broker) Answer(topic string, answer Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[topic] = answer
}

// All returns every call so far, also those that failed, in their order.
func (b *Broker) All() []Sent { return b.sent.All() }

// Next returns the oldest call that neither Next nor Want returned before. It waits for one, and
// ends the test if there is none within 10 s, so call it on the goroutine of the test.
func (b *Broker) Next() Sent {
	b.tb.Helper()
	s, ok := b.sent.Take(patience)
	if !ok {
		b.tb.Fatalf("brokerfake: nothing was sent within %v", patience)
	}
	return s
}

// Want is [Broker.Next], and fails the test unless topic, body and options are these. Messages
// of protobuf are compared by proto.Equal, others by reflect.DeepEqual. opts are applied over
// QoS 1: what is not mentioned must be at its default.
func (b *Broker) Want(topic string, body any, opts ...event.CallOption) {
	b.tb.Helper()
	s := b.Next()
	want := event.Call{Topic: topic, QoS: 1}
	want.Apply(opts...)
	lines := calls.Differences(s.Call, want)
	var got any
	if s.Message != nil {
		got = s.Message.Body
	}
	if !calls.Same(got, body) {
		lines = append(lines, fmt.Sprintf("body %s, want %s", calls.Text(got), calls.Text(body)))
	}
	if len(lines) > 0 {
		b.tb.Errorf("brokerfake: %s: %s", s.Call.Topic, strings.Join(lines, "; "))
	}
}

// WantNone fails the test if there are calls that neither Next nor Want returned.
func (b *Broker) WantNone() {
	b.tb.Helper()
	for _, s := range b.sent.Rest() {
		b.tb.Errorf("brokerfake: sent to %s, and not wanted: %+v", s.Call.Topic, s.Message)
	}
}
