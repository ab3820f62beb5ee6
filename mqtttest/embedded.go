package mqtttest

import (
	"context"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/embedded"
)

// stopTimeout bounds the end of any broker.
const stopTimeout = 15 * time.Second

// EmbeddedBroker is a broker inside the test process.
type EmbeddedBroker struct {
	tb     testing.TB
	broker *embedded.Broker
}

var _ Broker = (*EmbeddedBroker)(nil)

// Embedded starts an in-process broker on a free loopback port. Sessions and
// retained messages are in memory: they survive Stop and Start, but not
// Restart(false).
func Embedded(tb testing.TB, opts ...EmbeddedOption) *EmbeddedBroker {
	tb.Helper()
	var s settings
	for _, opt := range opts {
		opt.embedded(&s)
	}
	broker, err := embedded.New(s.embeddedOptions()...)
	if err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	b := &EmbeddedBroker{tb: tb, broker: broker}
	if err := broker.Start(tb.Context()); err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	tb.Cleanup(b.close)
	return b
}

func (s *settings) embeddedOptions() []embedded.Option {
	const free = "127.0.0.1:0"
	var opts []embedded.Option
	if s.webSocket {
		opts = append(opts, embedded.WithWebSocket(free, nil))
	}
	if s.ca != nil {
		opts = append(opts, embedded.WithTLS(free, s.ca.ServerConfig(s.clientCerts)))
	}
	if s.user != "" || s.password != "" {
		opts = append(opts, embedded.WithCredentials(s.user, s.password))
	}
	return opts
}

// URL implements [Broker].
func (b *EmbeddedBroker) URL() string { return b.broker.URL() }

// TLSURL is the mqtts:// address, empty without [WithTLS].
func (b *EmbeddedBroker) TLSURL() string { return b.broker.TLSURL() }

// WebSocketURL is the ws:// address, empty without [WithWebSocket].
func (b *EmbeddedBroker) WebSocketURL() string { return b.broker.WebSocketURL() }

// Features implements [Broker].
func (b *EmbeddedBroker) Features() Features {
	return Features{
		Name: "embedded", MQTT5: true, Headers: true, Requests: true, QoS2: true, SharedSubscriptions: true, Retained: true,
		PersistsRetained: true, PersistsOverRestart: true, PersistsConnectedMQTT5: true,
	}
}

// Stop implements [Broker]. Sessions stay.
func (b *EmbeddedBroker) Stop() {
	b.tb.Helper()
	b.within("stop", b.broker.Suspend)
}

// Start implements [Broker].
func (b *EmbeddedBroker) Start() {
	b.tb.Helper()
	b.within("start", b.broker.Start)
}

// Restart stops and starts the broker on the same address, with the sessions
// and retained messages it had or without.
func (b *EmbeddedBroker) Restart(keepSessions bool) {
	b.tb.Helper()
	b.within("restart", func(ctx context.Context) error { return b.broker.Restart(ctx, keepSessions) })
}

// Kick ends the connection of a client and reports whether it was connected.
func (b *EmbeddedBroker) Kick(clientID string) bool { return b.broker.Kick(clientID) }

// Clients lists the sessions by client id.
func (b *EmbeddedBroker) Clients() []embedded.Client { return b.broker.Clients() }

// Retained lists the topics of the retained messages.
func (b *EmbeddedBroker) Retained() []string { return b.broker.Retained() }

// Dropped counts messages thrown away because a queue was full.
func (b *EmbeddedBroker) Dropped() int64 { return b.broker.Dropped() }

func (b *EmbeddedBroker) close() { b.within("close", b.broker.Close) }

func (b *EmbeddedBroker) within(what string, f func(context.Context) error) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := f(ctx); err != nil {
		b.tb.Errorf("mqtttest: %s: %v", what, err)
	}
}
