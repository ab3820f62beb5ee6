package link

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const (
	defaultMaxPacketSize = 1 << 20
	defaultReadBuffer    = 16 << 10
	firstBuffer          = 512 // read buffer of a connection that has received little
	defaultWriteTimeout  = 10 * time.Second
	defaultQueueLimit    = 128 << 10
	defaultAckLimit      = 1 << 20

	// controlLimit is the size limit of a control packet from the broker. The
	// largest are a CONNACK with user properties and a SUBACK with many codes.
	controlLimit = 64 << 10
	// controlBacklog is the size limit of a control packet of the library and
	// of all that wait to be written. The largest are a SUBSCRIBE with many
	// filters and a CONNECT with a will.
	controlBacklog = 1 << 20
	// lendSize is the size from which Queue does not copy a frame.
	lendSize = 32 << 10
	// writePiece is the number of bytes that the peer must accept within
	// WriteTimeout, so that the timeout depends on progress and not on the size
	// of a frame.
	writePiece = 128 << 10
	// closeTimeout limits the time that Close takes for writing and the closing
	// handshake.
	closeTimeout = time.Second
	// firstOwnID is the lowest packet identifier of the data plane.
	firstOwnID = 0x8000
)

// Options are the limits of a [Conn]. The zero value has all defaults.
type Options struct {
	// Version is the protocol version of the library on this connection.
	// Default 3.1.1.
	Version wire.Version
	// MaxPacketSize is the size limit of a message packet from the broker, in
	// bytes including the header. Default 1 MiB.
	MaxPacketSize int
	// ReadBuffer is the size of the read buffer in bytes. Larger packets are
	// read into separate memory. Default 16 KiB.
	ReadBuffer int
	// WriteTimeout is how long the peer may take to accept 128 KiB before the
	// connection is ended. Default 10 s.
	WriteTimeout time.Duration
	// QueueLimit is how many bytes of data frames may wait to be written.
	// Default 128 KiB.
	QueueLimit int
	// ReceiveMaximum, if not 0, replaces the Receive Maximum in the library's
	// MQTT 5 CONNECT. The library allocates memory for its own value, although
	// no message reaches it, so that value is small.
	ReceiveMaximum uint16
	// AckLimit is how many bytes of acknowledgements may wait to be written.
	// Default 1 MiB, which is about 200,000 acknowledgements.
	AckLimit int
}

func (o Options) withDefaults() Options {
	if o.Version == 0 {
		o.Version = wire.V311
	}
	o.MaxPacketSize = orDefault(o.MaxPacketSize, defaultMaxPacketSize)
	o.ReadBuffer = max(orDefault(o.ReadBuffer, defaultReadBuffer), wire.MaxHeader)
	o.WriteTimeout = orDefault(o.WriteTimeout, defaultWriteTimeout)
	o.QueueLimit = orDefault(o.QueueLimit, defaultQueueLimit)
	o.AckLimit = orDefault(o.AckLimit, defaultAckLimit)
	return o
}

func orDefault[T int | time.Duration](given, normal T) T {
	if given <= 0 {
		return normal
	}
	return given
}
