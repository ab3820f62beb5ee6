// Package topic validates and matches MQTT topic names and filters. It also
// determines which part of a topic the access rules of a broker protect.
//
// Rule numbers are those of the MQTT 5 text. The rules of 3.1.1 are the same,
// except that it has no shared subscriptions, which brokers nevertheless offer
// on both versions.
package topic

// MaxLength is the longest topic name or filter, in bytes of UTF-8
// [MQTT-4.7.3-3].
const MaxLength = 65_535
