package link

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Errors of a refused frame or an abandoned connection. Use errors.Is; those of
// a frame are wrapped in a [*FrameError]. A frame that breaks the rules of its
// own type is a [*wire.MalformedError] instead. Refusing a frame of the broker
// ends the connection. Refusing a packet of the library fails its Write, and
// nothing of the packet is sent.
var (
	// ErrTooLarge means that the packet exceeds the limit. No memory was
	// allocated for it.
	ErrTooLarge = errors.New("packet is larger than the limit")
	// ErrUnexpected means that this side must not send such a packet, or not at
	// this time.
	ErrUnexpected = errors.New("packet is not allowed here")
	// ErrAnswer means that a SUBACK or UNSUBACK matches no request, or that the
	// number of its codes differs from the number of filters [MQTT-3.8.4-6].
	ErrAnswer = errors.New("acknowledgement does not fit the request")
	// ErrPacketID means that the library has used up its half of the packet
	// identifiers. On a new connection it starts again.
	ErrPacketID = errors.New("packet identifier belongs to the data plane")
	// ErrBacklog means that too many control packets wait for an answer or for
	// a peer that does not read, or that too many acknowledgements wait for
	// such a peer.
	ErrBacklog = errors.New("too many control packets or acknowledgements are waiting")
	// ErrNoPingresp means that the peer did not answer a PINGREQ in time. The
	// library detected it and closed the connection.
	ErrNoPingresp = errors.New("no PINGRESP in time")
)

// FrameError describes which packet was refused, and why.
type FrameError struct {
	Type wire.Type
	Size int // of the whole packet in bytes, as far as it is known
	Err  error
}

// Error names the packet type and contains nothing of the packet.
func (e *FrameError) Error() string {
	return fmt.Sprintf("mqtt: %v of %d bytes: %v", e.Type, e.Size, e.Err)
}

// Unwrap returns the reason.
func (e *FrameError) Unwrap() error { return e.Err }

func refuse(h wire.Header, reason error) error {
	return &FrameError{Type: h.Type(), Size: h.Total(), Err: reason}
}
