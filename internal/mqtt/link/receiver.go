package link

// Receiver is the session's side of a [Conn]. Connack, Frame and Batch are
// called one at a time on the goroutine that reads, which is the library's:
// they must not block, and must not wait for anything that needs that goroutine
// to go on reading. Writable and Closed are called on the goroutine of the
// Conn. No lock of the Conn is held in any of them, so all methods of the Conn
// may be called.
type Receiver interface {
	// Connack sees the CONNACK before the library does, and before any frame
	// that follows it. body is valid until return. An error ends the
	// connection.
	Connack(first byte, body []byte) error
	// Frame gets each PUBLISH, PUBACK, PUBREC, PUBREL and PUBCOMP in the order
	// of arrival. Its header is checked, its body is not. body is valid until
	// return. ErrBusy leaves the frame for later, any other error ends the
	// connection.
	Frame(first byte, body []byte) error
	// Batch follows one or more calls of Frame when the next thing is to wait
	// for the socket, or to give the library a packet: the moment to hand over
	// work and to [Conn.Wake] the writer once for many acknowledgements.
	Batch()
	// Acks appends the acknowledgements that [Conn.AcksDue] told of to frames, and
	// returns that. It is called by whoever is about to write, one at a time, and
	// must not block.
	Acks(frames []byte) []byte
	// Writable is called after Queue refused a frame, when there is room again.
	Writable()
	// Closed is called once, with the error that ended the connection: of the
	// first failed read, write or callback, or net.ErrClosed after Close. The
	// socket is closed then, and frames given to Queue are no longer in use.
	// A Frame that was being handled on the reading goroutine may still run.
	Closed(err error)
}
