package conformance

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Option tells [Run] how to do something for which broker.Broker has no
// method.
type Option func(*suite)

// WithQoS runs the tests of delivery at QoS 0, 1 and 2. Default: only the default QoS of the
// broker.
func WithQoS(publish func(qos byte) broker.PublishOption, subscribe func(qos byte) broker.SubscribeOption) Option {
	return func(c *suite) { c.publishQoS, c.subscribeQoS = publish, subscribe }
}

// WithCut sets a function that breaks all connections of the pair, to test reconnects.
// Default: only Disconnect and Connect are tested.
func WithCut(cut func()) Option {
	return func(c *suite) { c.cut = cut }
}

// WithReplier sets a function that answers the requests on a topic with the result of answer.
// The request test needs it, because broker.Broker has no way to reply.
func WithReplier(serve func(t *testing.T, topic string, answer func(request string) string)) Option {
	return func(c *suite) { c.serve = serve }
}

// WithPatience limits the wait for an expected event. Default: 20 s.
func WithPatience(d time.Duration) Option {
	return func(c *suite) { c.patience = d }
}

// Run tests everything that a broker.Broker promises to its users, in subtests:
// delivery at each QoS, headers, order for each topic, wildcards, shared groups, retries after
// an error or a panic, no acknowledgement before the handler returned nil, unsubscribing,
// sessions over a reconnect, concurrency, large payloads, requests, and errors instead of
// panics.
//
// newPair returns a publisher and a subscriber of the same server, initialised but not
// connected; features describes that server, with Headers and Requests for the MQTT version
// that is used. The suite connects and disconnects each pair. Each pair must have its own
// client ids, and the session of the subscriber must outlive Disconnect. The pair must not
// have a codec: payloads are bytes, and a handler registered without a binder receives bytes.
// A failed handler must be retried within the patience.
func Run(t *testing.T, features mqtttest.Features, newPair func(t *testing.T) (publisher, subscriber broker.Broker), opts ...Option) {
	t.Helper()
	c := &suite{features: features, newPair: newPair, patience: 20 * time.Second}
	for _, opt := range opts {
		opt(c)
	}
	for _, p := range c.promises() {
		t.Run(p.name, p.check)
	}
}

type suite struct {
	features     mqtttest.Features
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

// promises returns the subtests that the features and options permit.
func (c *suite) promises() []promise {
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

// pair connects a new pair and disconnects it at the end of the test.
func (c *suite) pair(t *testing.T) *pair {
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
