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

// inbound is the receiving half of a session. What it remembers outlives a
// connection, because the broker delivers again what it has no
// acknowledgement for.
type inbound struct {
	cfg     *Config
	bounded Bounded // the sink, when it is; else nil
	limits  bodyLimits
	jam     jam

	reading  sync.Mutex // held by a read loop at work; before every other lock
	mu       sync.Mutex
	open     idTable[*Inbound] // delivered, acknowledgement not written
	received idTable[bool]     // QoS 2: PUBREC written, PUBREL awaited
	texts    texts
	overran  time.Time    // when a broker was left for sending too much
	beyond   atomic.Int64 // messages that arrived beyond the Receive Maximum
	closed   atomic.Bool  // intake stopped: what arrives stays unacknowledged
}

// publish takes a PUBLISH from the read loop of c; f is what is wrong with it,
// or nil. [link.ErrBusy] says that there is no room for it.
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

// wait has a message offered again when the connection is not crowded any more.
func (in *inbound) wait(c *conn) error {
	if c.link.Asked() {
		in.fullUp(c)
	}
	return link.ErrBusy
}

// track lists a message until it is acknowledged, unless there are too many.
func (in *inbound) track(c *conn, m *Inbound) bool {
	in.mu.Lock()
	if c.crowded = in.crowded(c, m.Size); c.crowded {
		in.mu.Unlock()
		return false
	}
	in.received.del(m.PacketID) // known without DUP is a new message
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

// hold counts m against a connection. The mutex of inbound is held.
func (m *Inbound) hold(c *conn) {
	c.held++
	c.heldBytes += int64(m.Size)
	m.conn = c
}

// leave ends that, if it is c that holds it. The mutex of inbound is held.
func (m *Inbound) leave(c *conn) {
	if m.conn == c {
		c.held--
		c.heldBytes -= int64(m.Size)
	}
}

// redelivered joins a repeated PUBLISH to the handling that goes on already,
// or to the PUBREC that was lost, so that no handler runs for it again. DUP
// alone says nothing: it may be the first copy that arrives. Busy is a connection
// that has no room for another PUBREC: they wait in line behind what is not done.
func (in *inbound) redelivered(c *conn, p *wire.Publish) (joined, busy bool) {
	in.mu.Lock()
	received := p.QoS == 2 && in.received.get(p.PacketID)
	if c.crowded = received && in.crowded(c, 0); c.crowded {
		in.mu.Unlock()
		return false, true
	}
	known := in.open.get(p.PacketID)
	again := known != nil && known.conn == c
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
	case again: // sent again without a reconnect: its acknowledgement will come
	case !c.ledger.Adopt(&known.entry, p.PacketID, p.QoS):
		// The older connection was about to acknowledge it: it is done, and the
		// acknowledgement was not written.
		c.acknowledge(p)
	}
	return true, false
}

// acknowledge has a message acknowledged, in its turn, that no handler runs for.
func (c *conn) acknowledge(p *wire.Publish) {
	e := new(delivery.Entry)
	c.ledger.Add(e, p.PacketID, p.QoS)
	e.Done()
}

// same reports whether a redelivery is the message that we still hold; the id
// alone may have been used again.
func (m *Inbound) same(p *wire.Publish) bool {
	return m.QoS == p.QoS && m.named(p.Topic) && bytes.Equal(m.Payload, p.Payload)
}

// newInbound takes a message out of its frame. It is nil when the sink has no room
// for a QoS 0 message.
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
		m.through.take(&p.Props, nil)
	}
	if f != nil {
		m.bear(f)
	}
	return m
}

// Acks appends the acknowledgements that the ledger releases, in its order.
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

// acked notes an acknowledgement that is about to be written, unless another
// connection has taken the message, or another message the id, meanwhile. The
// mutex of inbound is held.
func (in *inbound) acked(c *conn, a delivery.Ack) {
	if m := in.open.get(a.PacketID); m != nil && m.conn == c {
		in.open.del(a.PacketID)
		m.leave(c)
		if a.QoS == 2 {
			in.received.set(a.PacketID, true)
		}
	}
}

// pubrel forgets a QoS 2 id and answers at once. An unknown id is the resend
// of a PUBREL whose PUBCOMP was lost.
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

// sessionLost forgets what belonged to the broker's lost session: its packet
// ids mean nothing any more.
func (in *inbound) sessionLost() {
	in.mu.Lock()
	in.open.clear()
	in.received.clear()
	in.mu.Unlock()
}

// count is how many messages were delivered and not acknowledged.
func (in *inbound) count() (n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.open.count()
}
