package mqtttest

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// InProcessBroker is a broker in the test process that can inject faults; package broker
// describes its methods.
type InProcessBroker struct {
	*testbroker.Broker

	tb testing.TB
}

var _ Broker = (*InProcessBroker)(nil)

// InProcess starts a broker on a free loopback port. Sessions and retained messages are in
// memory, unless an option changes that, and survive Stop and Start. The broker is closed at
// the end of the test.
func InProcess(tb testing.TB, opts ...testbroker.Option) *InProcessBroker {
	tb.Helper()
	reserved := testbroker.WithAddress(port.Address(tb)) // so that no other test gets it while the broker is stopped
	broker, err := testbroker.Listen(append([]testbroker.Option{reserved}, opts...)...)
	if err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	tb.Cleanup(broker.Close)
	return &InProcessBroker{Broker: broker, tb: tb}
}

// Features implements [Broker].
func (b *InProcessBroker) Features() Features {
	return Features{
		Name: "in-process", MQTT5: true, Headers: true, Requests: true, QoS2: true, SharedSubscriptions: true, Retained: true,
		PersistsRetained: true, PersistsOverRestart: true, PersistsConnectedMQTT5: true, MaxInflight: 20,
	}
}

// Start implements [Broker].
func (b *InProcessBroker) Start() {
	b.tb.Helper()
	if err := b.Broker.Start(); err != nil {
		b.tb.Errorf("mqtttest: %v", err)
	}
}

// Refuse closes the port, or opens it again.
func (b *InProcessBroker) Refuse(on bool) {
	b.tb.Helper()
	if err := b.Broker.Refuse(on); err != nil {
		b.tb.Errorf("mqtttest: %v", err)
	}
}

// Inject adds a fault. An invalid fault fails the test.
func (b *InProcessBroker) Inject(f testbroker.Fault) *testbroker.Injected {
	b.tb.Helper()
	i, err := b.Broker.Inject(f)
	if err != nil {
		b.tb.Fatalf("mqtttest: %v", err)
	}
	return i
}
