// Package embedded runs an MQTT broker inside the process: 3.1.1 and 5, QoS 0
// to 2, retained messages, shared subscriptions, sessions in memory.
//
// It is a development broker. It forgets everything when the process ends, it
// authenticates at most one user, and so it listens on loopback addresses only
// unless told otherwise. Frames are checked before the broker library sees
// them, and what still makes the library panic costs one connection, not the
// process.
//
// The package does not import testing: a service may link it to run without
// any broker installed. Tests use mqtttest.Embedded.
package embedded
