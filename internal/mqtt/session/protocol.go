package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Protocol is the wanted version of MQTT.
type Protocol byte

// The protocols of a [Config].
const (
	Auto      Protocol = 0 // 5, or 3.1.1 with a broker that knows no better
	Version31 Protocol = Protocol(wire.V311)
	Version5  Protocol = Protocol(wire.V5)
)

// closesBeforeFallback is how often a broker may close the connection instead
// of answering a CONNECT of version 5 before 3.1.1 is tried.
const closesBeforeFallback = 2

// Negotiation is what the sessions of a process learn from each other: the
// address of their list that is of use, so that each does not meet a dead one by
// itself, and the version that the broker speaks. It falls back only on a CONNACK that names the version, or on
// closes before CONNACK followed by a success of 3.1.1; a broker once connected
// at 5 is never downgraded. Safe for concurrent use.
type Negotiation struct {
	mu      sync.Mutex
	settled wire.Version // 0 while unknown
	older   bool         // the next attempt is 3.1.1
	closes  int
	address atomic.Int32 // of the list, that was of use last
}

// NewNegotiation starts with the wanted protocol.
func NewNegotiation(p Protocol) *Negotiation {
	return &Negotiation{settled: wire.Version(p)}
}

// version is the one to try next.
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

// Settled is the version that the broker speaks; [Auto] while it is not known.
// It is known once one of the sessions has been connected.
func (n *Negotiation) Settled() Protocol {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Protocol(n.settled)
}

// connected settles the version when a CONNACK accepts us. It is false when
// another session was faster, with another version: a session must not change
// it any more once it has messages in flight.
func (n *Negotiation) connected(v wire.Version) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.settled == 0 {
		n.settled = v
	}
	return n.settled == v
}

// failed learns from an attempt that reached the broker. Undecided says that
// the attempt was one of several that it takes to find the version.
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
	case errors.Is(err, context.DeadlineExceeded):
		return false // no answer is none about the version
	}
	n.closes++
	n.older = n.closes >= closesBeforeFallback
	return true
}
