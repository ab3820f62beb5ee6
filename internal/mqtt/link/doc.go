// Package link is the network connection below one MQTT connection. It dials
// tcp, TLS and WebSocket addresses and wraps the result in a [Conn], which the
// control library uses as its net.Conn.
//
// A Conn separates message frames (PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP)
// from the stream in both directions: those from the broker are passed to a
// [Receiver], those of the data plane are queued with [Conn.Queue] and
// [Conn.QueueAck]. All other packets pass unchanged between broker and library,
// after a check for packets that a broker must not send and that would crash
// the library or exhaust its memory.
//
// The package handles frames, not messages: the session above it handles packet
// identifiers, windows and resending.
package link
