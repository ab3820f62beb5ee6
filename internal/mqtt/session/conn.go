package session

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// conn is one connection of a session: what ends with the socket. It receives
// the frames that the link diverts from the client library.
type conn struct {
	s       *Session
	version wire.Version
	link    *link.Conn
	ledger  *delivery.Ledger
	connack wire.Connack

	// Used by the read loop only.
	up       bool                           // CONNACK accepted us
	apart    bool                           // it carries no messages: it is there to end an earlier session
	isApart  func(sessionPresent bool) bool // decides that; nil is never
	wake     bool                           // something is queued to write
	pubacks  pubacks
	chunk    chunk   // of payloads
	probe    Inbound // what is asked about room
	probeIDs otherIDs
	waits    int         // for room, of the QoS 0 message at hand
	until    time.Time   // of the last of them
	full     bool        // twice the bounds are used up
	overrun  *time.Timer // calls [Session.overrun]; valid while full

	acks []delivery.Ack // used by whoever writes

	// Guarded by the mutex of inbound.
	held      int   // messages not acknowledged that this connection delivered
	heldBytes int64 // of their packets
	crowded   bool  // reading waits until there are fewer

	// Guarded by the mutex of outbound.
	begun     time.Time // CONNECT
	since     time.Time // CONNACK; zero before it
	sent      string    // topic of the last QoS 0 message
	sentAt    time.Time
	patience  *time.Timer   // with suspects; nil without
	alone     time.Time     // when the first suspect went
	roundTrip time.Duration // that of the PINGREQ before it; until then that of CONNECT
	evidence  evidence      // why it ended; valid after closed

	over   atomic.Bool // ended: nothing that was read on it counts any more
	useful atomic.Bool // the broker granted, acknowledged or sent something
	clean  bool        // CONNECT asked for a new session
	at     int         // which address of the list

	// dismissal is the DISCONNECT of the broker, MQTT 5.
	dismissal atomic.Pointer[CodeError]
	// parting is why we leave it; nil while we do not.
	parting atomic.Pointer[parting]

	alive  context.Context // ends with the connection or the session
	cancel context.CancelCauseFunc
	closed chan struct{}
	once   sync.Once
	err    error // why it ended; valid after closed
}

var (
	_ link.Receiver         = (*conn)(nil)
	_ link.OversizeReceiver = (*conn)(nil)
)

func newConn(s *Session, v wire.Version, at int) *conn {
	c := &conn{s: s, version: v, at: at, begun: time.Now(), closed: make(chan struct{})}
	c.alive, c.cancel = context.WithCancelCause(s.running)
	relaxed := s.cfg.RelaxedAcks && v == wire.V311
	c.ledger = delivery.NewLedger(relaxed, func() { c.link.AcksDue() })
	return c
}

// The read loop of a connection that has ended may be in one of the methods
// below while the next connection begins; in.reading keeps them apart.

var (
	errOver         = errors.New("connection is over")
	errEarly        = errors.New("message before CONNACK")
	errConnackTwice = errors.New("second CONNACK")
	errAlias        = errors.New("topic alias, although we allow none")
	errVersion      = errors.New("another version was settled meanwhile")
	errPresent      = errors.New("CONNACK says that a session is present, although a new one was asked for [MQTT-3.2.2-4]")
)

// Connack reads what the broker announces before the library sees it: data
// may follow at once.
func (c *conn) Connack(_ byte, body []byte) error {
	c.s.in.reading.Lock()
	defer c.s.in.reading.Unlock()
	switch {
	case c.over.Load():
		return errOver
	case c.up:
		return errConnackTwice
	}
	if err := c.connack.Decode(c.version, body); err != nil {
		return err
	}
	if c.connack.Reason == 0 {
		if c.clean && c.connack.SessionPresent {
			return errPresent
		}
		if !c.s.cfg.Negotiation.connected(c.version) {
			return errVersion
		}
		c.up = true
		if c.apart = c.isApart != nil && c.isApart(c.connack.SessionPresent); c.apart {
			return nil
		}
		c.s.attach(c)
		c.link.Wake()
	}
	return nil
}

// Frame takes one frame of the data plane.
func (c *conn) Frame(first byte, body []byte) error { return c.frame(first, body, nil) }

// Oversize takes a PUBLISH over the limit, whose payload was skipped: whoever
// handles it says what becomes of it.
func (c *conn) Oversize(first byte, head []byte, s link.Skipped) error {
	return c.frame(first, head, &flaw{skipped: s})
}

// frame takes a frame; flaw is what is wrong with a PUBLISH that cannot be
// handled as it is.
func (c *conn) frame(first byte, body []byte, f *flaw) error {
	c.s.in.reading.Lock()
	defer c.s.in.reading.Unlock()
	switch {
	case c.over.Load():
		return errOver
	case !c.up:
		return errEarly
	case c.apart:
		return nil // of the session that is about to end
	}
	t := wire.Type(first >> 4)
	if t == wire.TypePublish {
		var p wire.Publish
		if err := p.Decode(c.version, first, body); err != nil {
			if f, err = c.s.in.illFormed(c, &p, first, body, f, err); f == nil {
				return err
			}
		}
		if p.Props.TopicAlias != 0 {
			return errAlias // [MQTT-3.1.2-26]
		}
		c.noteUse()
		return c.s.in.publish(c, &p, body, f)
	}
	var a wire.Ack
	if err := a.Decode(c.version, first, body); err != nil {
		return err
	}
	c.acknowledged(&a)
	return nil
}

func (c *conn) acknowledged(a *wire.Ack) {
	if a.Type == wire.TypePuback && a.Reason < codeFailed {
		c.pubacks.acks = append(c.pubacks.acks, takenPuback{a.PacketID, a.Reason == wire.ReasonNoMatchingSubscribers})
		if len(c.pubacks.acks) >= ackBatch {
			c.s.out.settle(c)
		}
		return
	}
	c.s.out.settle(c) // outcomes come in the order of the acknowledgements
	if a.Type == wire.TypePubrel {
		c.s.in.pubrel(c, a.PacketID)
	} else {
		c.s.out.acked(c, a)
	}
}

// Batch hands over what was collected since the last call.
func (c *conn) Batch() {
	c.s.in.reading.Lock()
	c.s.out.settle(c)
	if c.s.cfg.Sink != nil {
		c.s.cfg.Sink.Batch()
	}
	c.s.in.reading.Unlock()
	if c.wake {
		c.wake = false
		c.link.Wake()
	}
}

// Writable continues a publish that found the queue full.
func (c *conn) Writable() {
	c.s.out.writable(c)
	c.link.Wake()
}

// Closed is the end of the connection, whoever caused it.
func (c *conn) Closed(err error) {
	c.once.Do(func() {
		if err == nil {
			err = errors.New("connection closed")
		}
		if p := c.parting.Load(); p != nil {
			err = p.err
		}
		c.err = err
		c.evidence = evidence{code: c.dismissal.Load(), err: err, paused: c.link.Jam() >= blockedFor}
		c.s.out.detach(c)
		c.ledger.Retire()
		c.s.in.jam.set(false)
		c.cancel(err)
		close(c.closed)
	})
}

// abort ends the connection for a reason of ours.
func (c *conn) abort(err error) { c.link.Abort(err) }

// refusal prefers the CONNACK that we read ourselves to the library's error:
// a broker that knows 3.1.1 only answers in a form that the library for 5
// cannot read.
func (c *conn) refusal(err error) error {
	c.s.in.reading.Lock() // the library may have given up with a CONNACK half read
	defer c.s.in.reading.Unlock()
	var code *CodeError
	if c.connack.Reason == 0 || errors.As(err, &code) {
		return err
	}
	return &CodeError{
		Packet: "CONNACK", Code: c.connack.Reason, Detail: detail(c.connack.ReasonString, c.connack.ServerReference),
		Name: wire.ReasonName(wire.TypeConnack, c.version, c.connack.Reason),
	}
}

// dismissed keeps the reason of a DISCONNECT from the broker.
func (c *conn) dismissed(reason byte, detail string) {
	c.dismissal.Store(codeError(wire.TypeDisconnect, reason, detail))
}

// noteUse remembers that the connection was of use.
func (c *conn) noteUse() {
	if !c.useful.Load() {
		c.useful.Store(true)
		c.s.cfg.Negotiation.address.Store(int32(c.at))
	}
}

// parting is why this side leaves a connection that works, in order.
type parting struct {
	err  error
	code byte // of the DISCONNECT, MQTT 5
	next int  // address of the list to go to, with errLimits
}

// part has the supervisor say DISCONNECT and end the connection, once. It never
// waits.
func (c *conn) part(p *parting) {
	if c.parting.CompareAndSwap(nil, p) {
		c.cancel(p.err)
	}
}
