package session

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// inbound is the receiving half of a session. Its state outlives a connection,
// because the broker delivers unacknowledged messages again.
type inbound struct {
	cfg     *Config
	bounded Bounded // the sink if it is a Bounded, or nil
	limits  bodyLimits
	jam     jam

	reading  sync.Mutex // held by a working read loop; locked before all other locks
	mu       sync.Mutex
	open     idTable[*Inbound] // delivered, acknowledgement not written yet
	received idTable[bool]     // QoS 2: PUBREC written, PUBREL expected
	texts    texts
	overran  time.Time    // when a broker was last left because it sent too much
	beyond   atomic.Int64 // messages received beyond the Receive Maximum
	closed   atomic.Bool  // intake stopped: messages that arrive stay unacknowledged
}

// publish handles a PUBLISH from the read loop of c. f describes why it cannot
// be handled normally, or is nil. [link.ErrBusy] means that there is no room
// for it.
func (in *inbound) publish(c *conn, p *wire.Publish, body []byte, f *flaw) error {
	if in.cfg.Sink == nil || in.closed.Load() {
		in.flows(c)
		return nil
	}
	f = in.fit(p, wire.MaxHeader+len(body), f)
	if p.Dup {
		switch joined, busy := in.redelivered(c, p); {
		case busy:
			return in.wait(c)
		case joined:
			in.flows(c)
			return nil
		}
	}
	size := in.sizeOf(p)
	switch err := in.admit(c, p, size); {
	case errors.Is(err, errDropped):
		in.flows(c)
		return nil
	case err != nil:
		return err
	}
	m := newInbound(c, p, size, f)
	if m == nil {
		return nil
	}
	if p.QoS > 0 && !in.track(c, m) {
		return in.wait(c)
	}
	if c.ledger.Len() > maxUnread {
		return errUnread
	}
	in.flows(c)
	in.cfg.Sink.Deliver(m)
	return nil
}

// wait makes the link offer the message again when the connection is no longer
// crowded.
func (in *inbound) wait(c *conn) error {
	if c.link.Asked() {
		in.fullUp(c)
	}
	return link.ErrBusy
}

// track records a message until it is acknowledged. It returns false if there
// are too many.
func (in *inbound) track(c *conn, m *Inbound) bool {
	in.mu.Lock()
	if c.crowded = in.crowded(c, m.Size); c.crowded {
		in.mu.Unlock()
		return false
	}
	in.received.del(m.PacketID) // a known id without DUP is a new message
	if old := in.open.get(m.PacketID); old != nil {
		old.leave(c)
	}
	in.open.set(m.PacketID, m)
	m.hold(c)
	if c.version == wire.V5 && c.held > in.cfg.ReceiveMaximum {
		in.beyond.Add(1)
	}
	in.mu.Unlock()
	c.ledger.Add(&m.entry, m.PacketID, m.QoS)
	return true
}

// hold counts m for a connection. The mutex of inbound must be held.
func (m *Inbound) hold(c *conn) {
	c.held++
	c.heldBytes += int64(m.Size)
	m.conn = c.number
}

// leave no longer counts m for c, if it does. The mutex of inbound must be
// held.
func (m *Inbound) leave(c *conn) {
	if m.conn == c.number {
		c.held--
		c.heldBytes -= int64(m.Size)
	}
}

// redelivered connects a repeated PUBLISH with the handling that is already in
// progress, or with the PUBREC that was lost, so that its handler does not run
// again. DUP alone is not enough, because it may be the first copy that
// arrives. busy means that the connection has no room for another PUBREC,
// because PUBRECs wait behind messages that are not done.
func (in *inbound) redelivered(c *conn, p *wire.Publish) (joined, busy bool) {
	in.mu.Lock()
	received := p.QoS == 2 && in.received.get(p.PacketID)
	if c.crowded = received && in.crowded(c, 0); c.crowded {
		in.mu.Unlock()
		return false, true
	}
	known := in.open.get(p.PacketID)
	again := known != nil && known.conn == c.number
	join := !received && known != nil && known.same(p)
	if join && !again {
		known.hold(c) // acknowledgements of the older connection are void
	}
	in.mu.Unlock()
	switch {
	case received:
		c.acknowledge(p)
	case !join:
		return false, false
	case again: // sent again without a reconnect: its acknowledgement will follow
	case !c.ledger.Adopt(&known.entry, p.PacketID, p.QoS):
		// The older connection was about to acknowledge it: the message is
		// done, but the acknowledgement was not written.
		c.acknowledge(p)
	}
	return true, false
}

// acknowledge acknowledges a message without a handler, in receive order.
func (c *conn) acknowledge(p *wire.Publish) {
	e := new(delivery.Entry)
	c.ledger.Add(e, p.PacketID, p.QoS)
	e.Done()
}

// same reports whether a redelivery is the message that is still held, because
// another message may have the same id.
func (m *Inbound) same(p *wire.Publish) bool {
	return m.QoS == p.QoS && m.named(p.Topic) && bytes.Equal(m.Payload, p.Payload)
}

// newInbound copies a message out of its frame. It returns nil if the sink has
// no room for a QoS 0 message.
func newInbound(c *conn, p *wire.Publish, size int, f *flaw) *Inbound {
	m := c.s.cfg.Sink.New(p.Topic, p.QoS, size)
	if m == nil {
		return nil
	}
	m.Payload = c.chunk.copy(p.Payload)
	m.PacketID, m.QoS, m.Retain, m.Duplicate = p.PacketID, p.QoS, p.Retain, p.Dup
	m.Size = size
	if c.version == wire.V5 {
		m.Properties = decodeProperties(&p.Props, &c.s.in.limits)
		m.identify(&p.Props, nil)
	}
	if f != nil {
		m.bear(f)
	}
	return m
}

// Acks appends the acknowledgements that the ledger releases, in order.
func (c *conn) Acks(frames []byte) []byte {
	in := &c.s.in
	in.mu.Lock()
	c.acks = c.ledger.Take(c.acks[:0])
	for _, a := range c.acks {
		t := wire.TypePuback
		if a.QoS == 2 {
			t = wire.TypePubrec
		}
		in.acked(c, a)
		frames = wire.AppendAck(frames, c.version, t, a.PacketID, 0)
	}
	eased := in.eased(c)
	in.mu.Unlock()
	if eased {
		c.link.Resume()
	}
	return frames
}

// acked records an acknowledgement that is about to be written. It ignores it
// if another connection has delivered the message again, or if the id belongs
// to another message. The mutex of inbound must be held.
func (in *inbound) acked(c *conn, a delivery.Ack) {
	if m := in.open.get(a.PacketID); m != nil && m.conn == c.number {
		in.open.del(a.PacketID)
		m.leave(c)
		if a.QoS == 2 {
			in.received.set(a.PacketID, true)
		}
	}
}

// pubrel forgets a QoS 2 id and answers immediately. An unknown id is a
// repeated PUBREL whose PUBCOMP was lost.
func (in *inbound) pubrel(c *conn, id uint16) {
	in.mu.Lock()
	reason := byte(0)
	if !in.received.get(id) {
		reason = codeNotFound
	}
	in.received.del(id)
	in.mu.Unlock()
	var buf [8]byte
	c.link.QueueAck(wire.AppendAck(buf[:0], c.version, wire.TypePubcomp, id, reason))
	c.wake = true
}

// sessionLost forgets the packet ids of a session that the broker has lost.
func (in *inbound) sessionLost() {
	in.mu.Lock()
	in.open.clear()
	in.received.clear()
	in.mu.Unlock()
}

// count returns the number of messages that were delivered and not
// acknowledged.
func (in *inbound) count() (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.open.count()
}
