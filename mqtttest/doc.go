// Package mqtttest starts MQTT brokers for tests, puts faults between a client
// and a broker, and counts what was lost.
//
// # Brokers
//
// [InProcess] needs nothing installed. It does exactly what the test says, keeps
// every message that it accepted, and is the one for tests of delivery. [Mosquitto] and [RabbitMQ] start the real
// program on free loopback ports with a private data directory and stop it when
// the test ends; where the program is not installed they skip the test, or fail
// it when the environment variable CI is "true". All satisfy [Broker], so one
// test runs against each of them; [Features] says what to expect. [FakeBroker]
// and [Raw] exchange bytes, right or wrong, with a client or a broker.
//
// # Faults
//
// [InProcess] refuses, drops, delays, repeats, cuts, freezes and dies on demand,
// see package broker. [Proxy] does part of that in front of a real broker: it
// stands between client and broker. It cuts, refuses, stalls, delays,
// swallows one direction, drops or cuts at a given packet, and shows every
// packet to the test, which makes it the witness of what was on the wire.
//
// # Verdict
//
// [Recorder] holds the ids that a publisher was told are accepted against the
// ids that were handled: lost, duplicated, unexpected. [Conformance] runs a
// broker.Broker of kratos-transport through all that its users rely on.
// [Eventually] waits for a condition with a deadline, so that no test sleeps.
package mqtttest
