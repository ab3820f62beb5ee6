package mqtttest

// Broker is a running broker that a test controls. It is safe for concurrent use. A failed
// method fails the test. The broker is stopped at the end of the test.
type Broker interface {
	// URL returns the plain address, mqtt://127.0.0.1:<port>. Stop and Start do not change it.
	URL() string
	// Features returns what the broker can do.
	Features() Features
	// Stop ends the broker gracefully and waits for its end. A stopped broker refuses
	// connections. Stop does nothing if the broker is stopped.
	Stop()
	// Start starts a stopped broker on the same address with the same data, and returns once
	// it answers a CONNECT.
	Start()
}

// Features describes a broker, for a test that runs with several of them.
type Features struct {
	// Name is the name of the program, for test names.
	Name string
	// MQTT5 is set if the broker supports MQTT 5; all support MQTT 3.1.1.
	MQTT5 bool
	// QoS2 is false if a subscription at QoS 2 is granted at QoS 1.
	QoS2 bool
	// SharedSubscriptions is set if $share/group/filter works. Some brokers grant it but
	// deliver nothing.
	SharedSubscriptions bool
	// Retained is set if the broker keeps retained messages.
	Retained bool
	// PersistsRetained is set if retained messages survive Stop and Start, including those of
	// the last seconds.
	PersistsRetained bool
	// PersistsOverRestart is set if MQTT 3.1.1 sessions, with queued messages, survive Stop
	// and Start.
	PersistsOverRestart bool
	// PersistsConnectedMQTT5 is set if the same is true of the MQTT 5 session of a client that
	// is connected while the broker stops. With Mosquitto that is so only if the client
	// connected without Clean Start.
	PersistsConnectedMQTT5 bool
	// Headers is set if messages can have headers, Requests if requests get replies; on MQTT
	// 3.1.1 both need an encoding for them. [Conformance] reads these fields; the brokers of
	// this package set them for MQTT 5.
	Headers, Requests bool
	// MaxInflight is the number of QoS 1 and 2 messages that the broker sends to an MQTT 3.1.1
	// client before it waits for acknowledgements; 0 if unknown.
	MaxInflight int
}
