package link

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const (
	defaultMaxPacketSize = 1 << 20
	defaultReadBuffer    = 16 << 10
	firstBuffer          = 2 << 10 // of a connection that has nothing to read yet
	defaultWriteTimeout  = 10 * time.Second
	defaultQueueLimit    = 128 << 10
	defaultAckLimit      = 1 << 20

	// controlLimit bounds a control packet from the broker: the largest are a
	// CONNACK with user properties and a SUBACK with many codes.
	controlLimit = 64 << 10
	// controlBacklog bounds a control packet of the library and all that wait
	// to be written together: the largest are a SUBSCRIBE with many filters
	// and a CONNECT with a will.
	controlBacklog = 1 << 20
	// lendSize is the frame size in bytes from which Queue does not copy.
	lendSize = 32 << 10
	// writePiece is how much must be taken within WriteTimeout, which so
	// measures progress and not the size of a frame.
	writePiece = 128 << 10
	// closeTimeout bounds what Close spends on writing and saying goodbye.
	closeTimeout = time.Second
	// firstOwnID is the lowest packet identifier of the data plane.
	firstOwnID = 0x8000
)

// Options are the limits of a [Conn]. The zero value has the defaults.
type Options struct {
	// Version that the library speaks on the connection. Default 3.1.1.
	Version wire.Version
	// MaxPacketSize of what the broker may send, in bytes, header included.
	// Default 1 MiB.
	MaxPacketSize int
	// ReadBuffer in bytes. Larger packets are read into memory of their own.
	// Default 16 KiB.
	ReadBuffer int
	// WriteTimeout ends the connection when the peer has not taken a piece of
	// 128 KiB or less for so long. Default 10 s.
	WriteTimeout time.Duration
	// QueueLimit is how many bytes of data frames may wait to be written.
	// Default 128 KiB.
	QueueLimit int
	// AckLimit is how many bytes of acknowledgements may wait to be written.
	// Default 1 MiB, which is some 200,000 of them.
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
