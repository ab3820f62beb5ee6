// Package wire reads and writes the MQTT 3.1.1 and MQTT 5 frames that the data
// plane handles itself: PUBLISH and its four acknowledgements. It also decodes
// what is needed to protect the control library from invalid CONNACK,
// SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK and DISCONNECT packets.
//
// Decoding PUBLISH and acknowledgements copies and allocates nothing: byte
// slices in the decoded values are views into the frame and stay valid until
// the caller changes or reuses it. Appending allocates only if the buffer is
// too small. No input from the network causes a panic.
//
// A violation of the standard is reported as a [*MalformedError]. Rule numbers
// are those of the MQTT 5 text, even if 3.1.1 states the same rule under
// another number.
//
// The package holds no state: all functions may be used concurrently on
// different values.
package wire

// Version is the protocol level in CONNECT.
type Version byte

// Protocol levels of CONNECT.
const (
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5
)

// String returns "3.1.1" or "5", the form used in settings and logs.
func (v Version) String() string {
	switch v {
	case V311:
		return "3.1.1"
	case V5:
		return "5"
	default:
		return "unknown"
	}
}

// Limits of the protocol.
const (
	// MaxRemaining is the largest Remaining Length, in bytes.
	MaxRemaining = 268_435_455
	// MaxHeader is the size of the longest fixed header, in bytes.
	MaxHeader = 5
	// MaxString is the longest UTF-8 string or binary field, in bytes.
	MaxString = 65_535
	// MaxPacketID is the largest packet identifier; the smallest is 1.
	MaxPacketID = 65_535
	// MaxQoS is the highest quality of service.
	MaxQoS = 2
)
