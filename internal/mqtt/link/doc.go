// Package link is the socket below one MQTT connection. It dials tcp, TLS and
// WebSocket addresses, and wraps the result in a [Conn] that is handed to the
// control-plane library as its net.Conn.
//
// A Conn takes the message frames (PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP)
// out of the stream in both directions: those from the broker go to a
// [Receiver], those of the engine enter through [Conn.Queue] and
// [Conn.QueueAck]. Everything else passes between broker and library byte for
// byte, after a check for what a broker must not send and what would crash or
// exhaust the library.
//
// The package knows frames, not messages: packet ids, sessions, windows and
// resending belong to the session above it.
package link
