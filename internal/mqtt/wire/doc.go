// Package wire reads and writes the MQTT frames that the data plane handles
// itself, for MQTT 3.1.1 and MQTT 5: PUBLISH and its four acknowledgements,
// and what must be known of CONNACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK
// and DISCONNECT to guard the control library.
//
// Decoding PUBLISH and acknowledgements copies nothing and allocates nothing:
// byte slices in the decoded values are views into the frame and live as long
// as the caller leaves it alone. Appending allocates only when the buffer is
// too small. Nothing here panics on input from the network.
//
// A broken rule is reported as a [*MalformedError]. Rule numbers are those of
// the MQTT 5 text, also where 3.1.1 states the same rule under another one.
//
// Nothing in this package holds state: all functions may be used
// concurrently on different values.
package wire

// Version is the protocol level as CONNECT carries it.
type Version byte

// Protocol levels.
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
	// MaxPacketID is the largest packet identifier; 0 is never one.
	MaxPacketID = 65_535
	// MaxQoS is the largest quality of service.
	MaxQoS = 2
)
