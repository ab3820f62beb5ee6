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

// conn is one connection of a session, the state that ends with the socket. It
// receives the frames that the link separates from those of the client library.
type conn struct {
	s       *Session
	number  uint32 // of the connection in its session, from 1
	version wire.Version
	link    *link.Conn
	ledger  *delivery.Ledger
	connack wire.Connack
	auth    *authentication // nil without enhanced authentication; set before CONNECT

	// Used by the read loop only.
	up             bool                           // CONNACK accepted us
	noMessages     bool                           // carries no messages: its purpose is to end an earlier session
	wantNoMessages func(sessionPresent bool) bool // determines noMessages; nil means never
	wake           bool                           // something is queued to write
	pubacks        pubacks
	chunk          chunk   // memory of payloads
	probe          Inbound // passed to Room to ask for room
	probeIDs       otherIDs
	waits          int         // how often the current QoS 0 message has waited for room
	until          time.Time   // end of the last of these waits
	full           bool        // twice the limits are used up
	overrun        *time.Timer // calls [Session.overrun]; valid while full

	acks []delivery.Ack // used by the writing goroutine

	// Guarded by the mutex of inbound.
	held      int   // unacknowledged messages that this connection delivered
	heldBytes int64 // size of their packets in bytes
	crowded   bool  // reading waits until held or heldBytes is smaller

	// Guarded by the mutex of outbound.
	begun     time.Time // time of CONNECT
	since     time.Time // time of CONNACK; zero before
	sent      string    // topic of the last QoS 0 message
	sentAt    time.Time
	patience  *time.Timer   // timer for suspects, or nil
	alone     time.Time     // when the first suspect was sent
	roundTrip time.Duration // of the PINGREQ before the suspect, and before that of CONNECT
	evidence  evidence      // why it ended; valid after closed

	over   atomic.Bool // ended: frames that are still read on it are ignored
	useful atomic.Bool // the broker granted, acknowledged or sent something
	clean  bool        // CONNECT requested a new session
	at     int         // index of the address

	// dismissal is the DISCONNECT of the broker (MQTT 5).
	dismissal atomic.Pointer[CodeError]
	// parting is why we leave this working connection, or nil.
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
	_ link.AuthReceiver     = (*conn)(nil)
)

func newConn(s *Session, v wire.Version, at int) *conn {
	c := &conn{s: s, version: v, at: at, begun: time.Now(), closed: make(chan struct{})}
	c.number = s.conns.Add(1)
	c.alive, c.cancel = context.WithCancelCause(s.running)
	relaxed := s.cfg.RelaxedAcks && v == wire.V311
	c.ledger = delivery.NewLedger(relaxed, func() { c.link.AcksDue() })
	return c
}

// The read loop of an ended connection may still be in one of the following
// methods when the next connection starts; in.reading keeps them apart.

var (
	errOver         = errors.New("connection has ended")
	errEarly        = errors.New("message before CONNACK")
	errConnackTwice = errors.New("second CONNACK")
	errAlias        = errors.New("topic alias, although we allow none")
	errVersion      = errors.New("another version was settled meanwhile")
	errPresent      = errors.New("CONNACK reports a present session, although a new one was requested [MQTT-3.2.2-4]")
)

// Connack reads the limits of the broker before the library receives CONNACK,
// because data may follow immediately.
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
		if c.noMessages = c.wantNoMessages != nil && c.wantNoMessages(c.connack.SessionPresent); c.noMessages {
			return nil
		}
		c.s.attach(c)
		c.link.Wake()
	}
	return nil
}

// Frame handles one frame of the data plane.
func (c *conn) Frame(first byte, body []byte) error { return c.frame(first, body, nil) }

// Auth takes an AUTH packet on the read loop.
func (c *conn) Auth(body []byte) error {
	var p wire.Auth
	if err := p.Decode(body); err != nil {
		return err
	}
	if c.auth == nil {
		return errAuth
	}
	if p.Method != c.auth.with.Method() {
		return errAuthMethod
	}
	select {
	case c.auth.arrived <- p:
		return nil
	default:
		return errAuthOrder
	}
}

// Oversize handles a PUBLISH over the limit whose payload was skipped. The sink decides
// how it is handled.
func (c *conn) Oversize(first byte, head []byte, s link.Skipped) error {
	return c.frame(first, head, &flaw{skipped: s})
}

// frame handles a frame. f describes why a PUBLISH cannot be handled normally,
// or is nil.
func (c *conn) frame(first byte, body []byte, f *flaw) error {
	c.s.in.reading.Lock()
	defer c.s.in.reading.Unlock()
	switch {
	case c.over.Load():
		return errOver
	case !c.up:
		return errEarly
	case c.noMessages:
		return nil // a frame of the session that is about to end
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
	c.s.out.settle(c) // outcomes are reported in the order of the acknowledgements
	if a.Type == wire.TypePubrel {
		c.s.in.pubrel(c, a.PacketID)
	} else {
		c.s.out.acked(c, a)
	}
}

// Batch hands over everything collected since the last call.
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

// Writable continues publishes that found the queue full.
func (c *conn) Writable() {
	c.s.out.writable(c)
	c.link.Wake()
}

// Closed handles the end of the connection, whatever its cause.
func (c *conn) Closed(err error) {
	c.once.Do(func() {
		if err == nil {
			err = errors.New("connection closed")
		}
		if p := c.parting.Load(); p != nil {
			err = p.err
		}
		c.err = err
		c.evidence = evidence{code: c.dismissal.Load(), err: err, paused: c.link.Jam() >= blockedFor, login: c.auth != nil && c.auth.pending.Load()}
		c.s.out.detach(c)
		c.ledger.Retire()
		c.s.in.jam.set(false)
		c.cancel(err)
		close(c.closed)
	})
}

// abort ends the connection with err.
func (c *conn) abort(err error) { c.link.Abort(err) }

// refusal returns the error for a refused CONNECT. It prefers the CONNACK that
// Connack read to the library's error, because the library for MQTT 5 cannot
// read the CONNACK of a broker that supports only 3.1.1.
func (c *conn) refusal(err error) error {
	c.s.in.reading.Lock() // the library may have given up while CONNACK was being read
	defer c.s.in.reading.Unlock()
	var code *CodeError
	if c.connack.Reason == 0 || errors.As(err, &code) {
		return err
	}
	return &CodeError{
		Packet: "CONNACK", Code: c.connack.Reason, Name: wire.ReasonName(wire.TypeConnack, c.version, c.connack.Reason),
		Detail: clip(c.connack.ReasonString), Server: clip(c.connack.ServerReference),
	}
}

// noteUse records that the connection was useful.
func (c *conn) noteUse() {
	if !c.useful.Load() {
		c.useful.Store(true)
		c.s.cfg.Negotiation.address.Store(int32(c.at))
	}
}

// parting is the reason for which we leave a working connection in an orderly
// way.
type parting struct {
	err  error
	code byte // reason code of the DISCONNECT (MQTT 5)
	next int  // index of the next address, with errLimits
}

// part makes the supervisor send DISCONNECT and end the connection, once. It
// never waits.
func (c *conn) part(p *parting) {
	if c.parting.CompareAndSwap(nil, p) {
		c.cancel(p.err)
	}
}
