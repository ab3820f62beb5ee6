// Package topic knows MQTT topic names and filters: what is valid, what
// matches what, which registrations a message belongs to, and which part of a topic
// the access rules of a broker guard.
//
// Rule numbers are those of the MQTT 5 text; 3.1.1 has the same rules except
// those on shared subscriptions, which brokers offer on both.
package topic

// MaxLength is the longest topic name or filter, in bytes of UTF-8
// [MQTT-4.7.3-3].
const MaxLength = 65_535
