package session

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/eclipse/paho.golang/packets"
	paholog "github.com/eclipse/paho.golang/paho/log"
	"github.com/eclipse/paho.golang/paho/session"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// libraryIDs is the session state of paho.golang. It contains only the packet
// ids of SUBSCRIBE and UNSUBSCRIBE, in the lower half. Application messages
// never reach it.
type libraryIDs struct {
	dismissed func(*CodeError) // called with the DISCONNECT of the broker

	mu      sync.Mutex
	last    uint16
	pending map[uint16]chan<- packets.ControlPacket
}

var _ session.SessionManager = (*libraryIDs)(nil)

var errNotTheirs = errors.New("application messages bypass the library")

func newLibraryIDs(dismissed func(*CodeError)) *libraryIDs {
	return &libraryIDs{dismissed: dismissed, pending: make(map[uint16]chan<- packets.ControlPacket)}
}

// ConAckReceived does nothing: there is nothing to resume.
func (*libraryIDs) ConAckReceived(io.Writer, *packets.Connect, *packets.Connack) error { return nil }

// ConnectionLost answers requests that are still waiting with a zero packet,
// which means that the connection ended. A DISCONNECT of the broker arrives
// here on the read loop, so that its reason is known before the connection
// ends; the library's own callback for it comes later.
func (l *libraryIDs) ConnectionLost(d *packets.Disconnect) error {
	if d != nil {
		e := codeError(wire.TypeDisconnect, d.ReasonCode)
		if p := d.Properties; p != nil {
			e.Detail, e.Server = clip(p.ReasonString), clip(p.ServerReference)
		}
		l.dismissed(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, resp := range l.pending {
		resp <- packets.ControlPacket{}
		delete(l.pending, id)
	}
	return nil
}

// AddToSession assigns the next free id to a SUBSCRIBE or UNSUBSCRIBE.
func (l *libraryIDs) AddToSession(_ context.Context, p session.Packet, resp chan<- packets.ControlPacket) error {
	if p.Type() == packets.PUBLISH {
		return errNotTheirs
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for range idBase - 1 {
		if l.last++; l.last >= idBase {
			l.last = 1
		}
		if _, taken := l.pending[l.last]; !taken {
			l.pending[l.last] = resp
			p.SetIdentifier(l.last)
			return nil
		}
	}
	return session.ErrPacketIdentifiersExhausted
}

// PacketReceived completes the request that a SUBACK or UNSUBACK answers.
func (l *libraryIDs) PacketReceived(p *packets.ControlPacket, _ chan<- *packets.Publish) error {
	if t := p.Type; t != packets.SUBACK && t != packets.UNSUBACK {
		return errNotTheirs
	}
	l.mu.Lock()
	resp := l.pending[p.PacketID()]
	delete(l.pending, p.PacketID())
	l.mu.Unlock()
	if resp != nil {
		resp <- *p
	}
	return nil
}

// Ack is never called.
func (*libraryIDs) Ack(*packets.Publish) error { return errNotTheirs }

// Close does nothing: there is nothing to release.
func (*libraryIDs) Close() error { return nil }

// SetErrorLogger does nothing: errors are returned.
func (*libraryIDs) SetErrorLogger(paholog.Logger) {}

// SetDebugLogger does nothing.
func (*libraryIDs) SetDebugLogger(paholog.Logger) {}
