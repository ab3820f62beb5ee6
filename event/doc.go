// Package event is the runtime of code generated from event services, and the
// place of the types that both public MQTT packages hand to their users. It
// imports no client library and no engine: a service that only publishes
// links no server.
package event
