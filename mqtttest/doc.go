// Package mqtttest starts MQTT brokers for tests, injects faults between a client and a
// broker, and counts lost messages.
//
// # Brokers
//
// [InProcess] needs no installed program. It does exactly what the test requests and keeps
// every message that it accepted, so use it for tests of delivery. [Mosquitto] and [RabbitMQ]
// start the real program on free loopback ports with a private data directory, and stop it at
// the end of the test; if the program is not installed, they skip the test, or fail it if the
// environment variable CI is "true". All implement [Broker], so a test can run with each of
// them; [Features] describes their differences. [FakeBroker] and [Raw] exchange bytes, valid
// or not, with a client or a broker.
//
// # Faults
//
// [InProcess] refuses, drops, delays, repeats, cuts, freezes and crashes on demand, see
// package broker. [Proxy] does a part of that in front of a real broker: it cuts, refuses,
// stalls, delays, discards one direction, drops or cuts at a given packet, and shows every
// packet to the test.
//
// # Results
//
// [Recorder] compares the ids that a publisher reported as accepted with the ids that were
// handled: lost, duplicated, unexpected. [Conformance] tests everything that users of a
// kratos-transport broker.Broker rely on. [Eventually] waits for a condition with a deadline,
// so that no test needs to sleep.
package mqtttest
