package link

// Receiver is the session's side of a [Conn]. Connack, Frame and Batch are
// called one at a time on the library's reading goroutine. They must not block,
// and must not wait for anything that depends on that goroutine. Writable and
// Closed are called on the goroutine of the Conn. No lock of the Conn is held
// during a call, so all methods of the Conn may be used.
type Receiver interface {
	// Connack is called with the CONNACK before the library receives it and
	// before any frame that follows it. body is valid until it returns. An
	// error ends the connection.
	Connack(first byte, body []byte) error
	// Frame is called with each PUBLISH, PUBACK, PUBREC, PUBREL and PUBCOMP in
	// the order of arrival. The header has been checked, the body has not. body
	// is valid until Frame returns. After ErrBusy the frame is kept for later;
	// any other error ends the connection.
	Frame(first byte, body []byte) error
	// Batch is called after one or more calls of Frame, before the Conn waits
	// for the socket or returns a packet to the library. It is the time to hand
	// over work and to call [Conn.Wake] once for many acknowledgements.
	Batch()
	// Acks appends the acknowledgements announced with [Conn.AcksDue] to frames
	// and returns the result. It is called by the goroutine that is about to
	// write, one call at a time, and must not block.
	Acks(frames []byte) []byte
	// Writable is called when there is room again after Queue refused a frame.
	Writable()
	// Closed is called once with the error that ended the connection: that of the first
	// failed read, write or callback, or net.ErrClosed after Close. The socket is
	// already closed, and frames passed to Queue are no longer in use. A call of Frame
	// on the reading goroutine may still be running.
	Closed(err error)
}

// AuthReceiver is a [Receiver] that handles enhanced authentication (MQTT 5).
// Without it the packets go to the library.
type AuthReceiver interface {
	// Auth is called with the body of each AUTH packet, like Frame. An error
	// ends the connection.
	Auth(body []byte) error
}
