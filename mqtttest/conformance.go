package mqtttest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/tx7do/kratos-transport/broker"
)

// ConformanceOption tells [Conformance] how to do what the interface of a
// broker does not say.
type ConformanceOption func(*conformance)

// WithQoS runs what publishes and subscribes at QoS 0, 1 and 2 instead of the
// broker's default.
func WithQoS(publish func(qos byte) broker.PublishOption, subscribe func(qos byte) broker.SubscribeOption) ConformanceOption {
	return func(c *conformance) { c.publishQoS, c.subscribeQoS = publish, subscribe }
}

// WithCut breaks all connections of the pair, for what must hold over a
// reconnect. Without it only an orderly Disconnect and Connect is tried.
func WithCut(cut func()) ConformanceOption {
	return func(c *conformance) { c.cut = cut }
}

// WithReplier makes something answer the requests on a topic with what answer
// makes of them, for the request test: the interface has no way to reply.
func WithReplier(serve func(t *testing.T, topic string, answer func(request string) string)) ConformanceOption {
	return func(c *conformance) { c.serve = serve }
}

// WithPatience bounds the wait for what must happen. Default: 20 s.
func WithPatience(d time.Duration) ConformanceOption {
	return func(c *conformance) { c.patience = d }
}

// Conformance runs every promise that a broker.Broker makes to its users as a
// subtest: delivery at each QoS, headers, order for each topic, wildcards,
// shared groups, retries after an error or a panic, no acknowledgement before
// the handler returned nil, unsubscribing, sessions over a reconnect,
// concurrency, large payloads, requests, and errors instead of panics.
//
// newPair returns a publisher and a subscriber of the same server, initialised and
// not connected; features says what that server can do, Headers and Requests in
// the version of MQTT that is spoken. Each pair is connected and disconnected by
// the suite and has client ids of its own. The subscriber's session outlives
// Disconnect. They have no codec: bytes are sent as they are, and a handler
// registered without a binder gets them. A handler that fails is tried again within the patience.
func Conformance(t *testing.T, features Features, newPair func(t *testing.T) (publisher, subscriber broker.Broker), opts ...ConformanceOption) {
	t.Helper()
	c := &conformance{features: features, newPair: newPair, patience: 20 * time.Second}
	for _, opt := range opts {
		opt(c)
	}
	for _, p := range c.promises() {
		t.Run(p.name, p.check)
	}
}

type conformance struct {
	features     Features
	newPair      func(*testing.T) (publisher, subscriber broker.Broker)
	publishQoS   func(byte) broker.PublishOption
	subscribeQoS func(byte) broker.SubscribeOption
	cut          func()
	serve        func(*testing.T, string, func(string) string)
	patience     time.Duration
}

type promise struct {
	name  string
	check func(*testing.T)
}

// promises are those that the features and options make possible.
func (c *conformance) promises() []promise {
	list := []promise{
		{"Order", c.order},
		{"Wildcards", c.wildcards},
		{"LargePayload", c.largePayload},
		{"ConcurrentPublishers", c.concurrentPublishers},
		{"ErrorIsRetried", c.errorIsRetried},
		{"PanicIsRetried", c.panicIsRetried},
		{"AckWaitsForHandler", c.ackWaitsForHandler},
		{"AckedIsDone", c.ackedIsDone},
		{"Unsubscribe", c.unsubscribe},
		{"TwoHandlersOnOneFilter", c.twoHandlers},
		{"DisconnectKeepsSubscriptions", c.disconnectKeepsSubscriptions},
		{"MessagesWhileAway", c.messagesWhileAway},
		{"PublishAfterDisconnect", c.publishAfterDisconnect},
		{"PublishHonoursContext", c.publishHonoursContext},
		{"BadTopics", c.badTopics},
		{"NilArguments", c.nilArguments},
		{"Describes", c.describes},
	}
	if c.publishQoS != nil && c.subscribeQoS != nil {
		list = append(list, promise{"QoS0", c.atQoS(0)}, promise{"QoS1", c.atQoS(1)}, promise{"QoS2", c.atQoS(2)})
	} else {
		list = append(list, promise{"Delivery", func(t *testing.T) { c.delivery(t, nil, nil) }})
	}
	if c.features.Headers {
		list = append(list, promise{"Headers", c.headers})
	}
	if c.features.SharedSubscriptions {
		list = append(list, promise{"SharedGroup", c.sharedGroup})
	}
	if c.cut != nil {
		list = append(list, promise{"NothingLostOverCuts", c.nothingLostOverCuts})
	}
	if c.features.Requests && c.serve != nil {
		list = append(list, promise{"Request", c.request})
	}
	return list
}

// pair connects a new pair that is disconnected at the end of the test.
func (c *conformance) pair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, c: c, topic: "conformance/" + uuid.NewString()}
	p.pub, p.sub = c.newPair(t)
	for name, b := range map[string]broker.Broker{"publisher": p.pub, "subscriber": p.sub} {
		if err := b.Connect(); err != nil {
			t.Fatalf("%s: connect: %v", name, err)
		}
		t.Cleanup(func() { _ = b.Disconnect() })
	}
	return p
}
