// Package event is the runtime of code generated from event services. It also holds the types
// that the two public MQTT packages share. It imports no client library, so a program that
// only publishes links no server.
package event
