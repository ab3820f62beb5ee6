package mqtttest

import (
	"testing"

	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Scripted is a broker inside the test process whose faults the test decides:
// see package broker for what its methods do.
type Scripted struct {
	*testbroker.Broker

	tb testing.TB
}

var _ Broker = (*Scripted)(nil)

// NewScripted starts a scripted broker on a free loopback port. Sessions and
// retained messages are in memory: they survive Stop and Start. It ends with
// the test.
func NewScripted(tb testing.TB, opts ...testbroker.Option) *Scripted {
	tb.Helper()
	broker, err := testbroker.Listen(opts...)
	if err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	tb.Cleanup(broker.Close)
	return &Scripted{Broker: broker, tb: tb}
}

// Features implements [Broker].
func (b *Scripted) Features() Features {
	return Features{
		Name: "scripted", MQTT5: true, Headers: true, Requests: true, QoS2: true, SharedSubscriptions: true, Retained: true,
		PersistsRetained: true, PersistsOverRestart: true, PersistsConnectedMQTT5: true, MaxInflight: 20,
	}
}

// Start implements [Broker].
func (b *Scripted) Start() {
	b.tb.Helper()
	if err := b.Broker.Start(); err != nil {
		b.tb.Errorf("mqtttest: %v", err)
	}
}

// Refuse closes the port, or opens it again.
func (b *Scripted) Refuse(on bool) {
	b.tb.Helper()
	if err := b.Broker.Refuse(on); err != nil {
		b.tb.Errorf("mqtttest: %v", err)
	}
}

// Inject adds a fault to those in force. A fault that makes no sense fails the
// test.
func (b *Scripted) Inject(f testbroker.Fault) *testbroker.Injected {
	b.tb.Helper()
	i, err := b.Broker.Inject(f)
	if err != nil {
		b.tb.Fatalf("mqtttest: %v", err)
	}
	return i
}
