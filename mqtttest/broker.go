package mqtttest

import "testing"

// Broker is a running broker under the control of a test. Its methods may be
// called from any goroutine; what goes wrong in them fails the test. The broker
// ends with the test.
type Broker interface {
	// URL is the plain address, mqtt://127.0.0.1:<port>. It stays the same
	// over Stop and Start.
	URL() string
	// Features says what the broker can do.
	Features() Features
	// Stop ends the broker in order and waits for the end. A stopped broker
	// refuses connections. Stop on a stopped broker does nothing.
	Stop()
	// Start starts a stopped broker again on the same address, with the data
	// it had, and returns when it answers a CONNECT.
	Start()
}

// Features describes a broker to a test that runs against several.
type Features struct {
	// Name is the name of the program, as it appears in test names.
	Name string
	// MQTT5 reports whether MQTT 5 is spoken; MQTT 3.1.1 always is.
	MQTT5 bool
	// QoS2 is false where a subscription at QoS 2 is granted as 1.
	QoS2 bool
	// SharedSubscriptions reports whether $share/group/filter delivers. Some
	// brokers grant it and deliver nothing.
	SharedSubscriptions bool
	// Retained reports whether retained messages are kept.
	Retained bool
	// PersistsRetained reports whether retained messages survive Stop and Start,
	// also those of the last seconds.
	PersistsRetained bool
	// PersistsOverRestart reports whether MQTT 3.1.1 sessions, with queued
	// messages, survive Stop and Start.
	PersistsOverRestart bool
	// PersistsConnectedMQTT5 is the same for the MQTT 5 session of a client
	// that is connected while the broker stops. Mosquitto does so only when the
	// client connected without Clean Start.
	PersistsConnectedMQTT5 bool
	// Headers reports whether messages carry headers, and Requests whether a
	// request gets a reply: on MQTT 3.1.1 only with a carrier for them.
	// [Conformance] asks; the brokers here set them to what MQTT 5 can do.
	Headers, Requests bool
	// MaxInflight is how many QoS 1 and 2 messages the broker sends to an MQTT
	// 3.1.1 client before it waits for acknowledgements, 0 if unknown.
	MaxInflight int
}

// missing skips the test because a program is not installed, or fails it in
// CI, where a check that silently does not run is a defect.
func missing(tb testing.TB, program, hint string) {
	tb.Helper()
	if inCI() {
		tb.Fatalf("%s is not installed and CI=true: %s", program, hint)
	}
	tb.Skipf("%s is not installed: %s", program, hint)
}
