package link

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Why a frame was refused, or a connection given up; found with errors.Is, those
// of a frame in a [*FrameError]. A frame
// that breaks the rules of its own type is a [*wire.MalformedError] instead.
// A refusal of what the broker sent ends the connection; of what the library
// sent, it is the error of the Write, and nothing of the frame was sent.
var (
	// ErrTooLarge: the packet is over the limit. Nothing was allocated for it.
	ErrTooLarge = errors.New("packet is larger than the limit")
	// ErrUnexpected: this side may not send such a packet, or not now.
	ErrUnexpected = errors.New("packet is not allowed here")
	// ErrAnswer: a SUBACK or UNSUBACK that nothing asked for, or with another
	// number of codes than there were filters [MQTT-3.8.4-6].
	ErrAnswer = errors.New("acknowledgement does not fit the request")
	// ErrPacketID: the library has used up its half of the packet
	// identifiers. A new connection starts again from the first.
	ErrPacketID = errors.New("packet identifier belongs to the data plane")
	// ErrBacklog: too many control packets wait for an answer, or for a peer
	// that does not read, or too many acknowledgements for one.
	ErrBacklog = errors.New("too many control packets or acknowledgements are waiting")
	// ErrNoPingresp: the peer did not answer a PINGREQ in time. The library found
	// out, and closed the connection.
	ErrNoPingresp = errors.New("no PINGRESP in time")
)

// FrameError says which packet was refused, and why.
type FrameError struct {
	Type wire.Type
	Size int // of the whole packet in bytes, as far as known
	Err  error
}

// Error names the packet type, never its content.
func (e *FrameError) Error() string {
	return fmt.Sprintf("mqtt: %v of %d bytes: %v", e.Type, e.Size, e.Err)
}

// Unwrap returns the reason.
func (e *FrameError) Unwrap() error { return e.Err }

func refuse(h wire.Header, reason error) error {
	return &FrameError{Type: h.Type(), Size: h.Total(), Err: reason}
}
