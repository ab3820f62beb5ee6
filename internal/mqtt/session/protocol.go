package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Protocol is the requested version of MQTT.
type Protocol byte

// The protocols of a [Config].
const (
	Auto      Protocol = 0 // MQTT 5, or 3.1.1 if the broker does not support 5
	Version31 Protocol = Protocol(wire.V311)
	Version5  Protocol = Protocol(wire.V5)
)

// closesBeforeFallback is how often a broker may close the connection instead
// of answering an MQTT 5 CONNECT before 3.1.1 is tried.
const closesBeforeFallback = 2

// Negotiation is shared by the sessions of a client. It holds the address that
// was last useful, so that not every session has to try a dead one, and the
// protocol version of the broker. It falls back to 3.1.1 only after a CONNACK
// that refuses the version, or after closes before CONNACK followed by a
// success with 3.1.1. A broker that was once connected with MQTT 5 is never
// downgraded. Safe for concurrent use.
type Negotiation struct {
	mu      sync.Mutex
	settled wire.Version // 0 if unknown
	older   bool         // the next attempt uses 3.1.1
	closes  int
	address atomic.Int32 // index of the address that was last useful
}

// NewNegotiation returns a Negotiation for the requested protocol.
func NewNegotiation(p Protocol) *Negotiation {
	return &Negotiation{settled: wire.Version(p)}
}

// version returns the version to try next.
func (n *Negotiation) version() wire.Version {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.settled != 0:
		return n.settled
	case n.older:
		return wire.V311
	}
	return wire.V5
}

// Settled returns the version of the broker, or [Auto] until one of the
// sessions has been connected.
func (n *Negotiation) Settled() Protocol {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Protocol(n.settled)
}

// connected settles the version when a CONNACK accepts the connection. It
// returns false if another session has settled another version: the version
// must not change while messages are in flight.
func (n *Negotiation) connected(v wire.Version) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.settled == 0 {
		n.settled = v
	}
	return n.settled == v
}

// failed learns from an attempt that reached the broker. undecided reports that
// more attempts are needed to determine the version.
func (n *Negotiation) failed(v wire.Version, err error) (undecided bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var code *CodeError
	switch {
	case n.settled != 0:
		return n.settled != v
	case v == wire.V311:
		n.older, n.closes = false, 0
		return false
	case errors.As(err, &code):
		n.closes = 0
		n.older = code.Code == wire.ReturnUnacceptableVersion || code.Code == wire.ReasonUnsupportedVersion
		return n.older
	case errors.Is(err, context.DeadlineExceeded), event.TLSProblemOf(err) != "":
		return false // shows nothing about the version
	}
	n.closes++
	n.older = n.closes >= closesBeforeFallback
	return true
}
