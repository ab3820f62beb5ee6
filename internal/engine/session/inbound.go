package session

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

// inbound is the receiving half of a session. What it remembers outlives a
// connection, because the broker delivers again what it has no
// acknowledgement for.
type inbound struct {
	reading  sync.Mutex // held by a read loop at work; before every other lock
	mu       sync.Mutex
	open     idTable[*Inbound] // delivered, acknowledgement not written
	received idTable[bool]     // QoS 2: PUBREC written, PUBREL awaited
	closed   atomic.Bool       // intake stopped: what arrives stays unacknowledged
}

// publish takes a PUBLISH from the read loop of c; oversize is the size of a
// packet whose payload was skipped, or 0.
func (s *Session) publish(c *conn, p *wire.Publish, body []byte, oversize int) {
	in := &s.in
	if s.cfg.Sink == nil || in.closed.Load() || (p.Dup && s.redelivered(c, p)) {
		return
	}
	m := newInbound(c, p, body)
	if m == nil {
		return
	}
	m.Oversize = oversize
	if p.QoS > 0 {
		m.entry = c.ledger.Add(p.PacketID, p.QoS)
		in.mu.Lock()
		in.received.del(p.PacketID) // known without DUP is a new message
		in.open.set(p.PacketID, m)
		in.mu.Unlock()
	}
	s.cfg.Sink.Deliver(m)
}

// redelivered joins a repeated PUBLISH to the handling that goes on already,
// or to the PUBREC that was lost, so that no handler runs for it again. DUP
// alone says nothing: it may be the first copy that arrives.
func (s *Session) redelivered(c *conn, p *wire.Publish) bool {
	in := &s.in
	in.mu.Lock()
	received := p.QoS == 2 && in.received.get(p.PacketID)
	known := in.open.get(p.PacketID)
	again := known != nil && known.conn == c
	join := !received && known != nil && known.same(p)
	if join {
		known.conn = c // acknowledgements of the older connection are void
	}
	in.mu.Unlock()
	switch {
	case received:
		c.ledger.Add(p.PacketID, p.QoS).Done()
	case !join:
		return false
	case again: // sent again without a reconnect: its acknowledgement will come
	case !c.ledger.Adopt(known.entry, p.PacketID, p.QoS):
		// The older connection was about to acknowledge it: it is done, and the
		// acknowledgement was not written.
		c.ledger.Add(p.PacketID, p.QoS).Done()
	}
	return true
}

// same says whether a redelivery is the message that we still hold; the id
// alone may have been used again.
func (m *Inbound) same(p *wire.Publish) bool {
	return m.QoS == p.QoS && m.Topic == bytesString(p.Topic) && bytes.Equal(m.Payload, p.Payload)
}

// newInbound copies the frame's body once; topic and payload are views of the
// copy. It is nil when the sink has no room for a QoS 0 message.
func newInbound(c *conn, p *wire.Publish, body []byte) *Inbound {
	m := c.s.cfg.Sink.New(p.QoS, len(body))
	if m == nil {
		return nil
	}
	own := make([]byte, len(body))
	copy(own, body)
	topicEnd := 2 + len(p.Topic)
	m.Topic, m.Payload = bytesString(own[2:topicEnd]), own[len(own)-len(p.Payload):]
	m.PacketID, m.QoS, m.Retain, m.Duplicate = p.PacketID, p.QoS, p.Retain, p.Dup
	m.conn = c
	if c.version == wire.V5 {
		m.Properties = decodeProperties(&p.Props)
		m.ids, m.idLen = p.Props.SubscriptionIDs, p.Props.SubscriptionIDCount
	}
	return m
}

// acknowledge writes the acknowledgements of c's ledger, in its order.
func (s *Session) acknowledge(c *conn, acks []delivery.Ack) {
	var buf [8]byte
	for _, a := range acks {
		t := wire.TypePuback
		if a.QoS == 2 {
			t = wire.TypePubrec
		}
		s.in.acked(c, a)
		c.link.QueueAck(wire.AppendAck(buf[:0], c.version, t, a.PacketID, 0))
	}
	c.link.Wake()
}

// acked notes an acknowledgement that is about to be written, unless another
// connection has taken the message, or another message the id, meanwhile.
func (in *inbound) acked(c *conn, a delivery.Ack) {
	in.mu.Lock()
	defer in.mu.Unlock()
	m := in.open.get(a.PacketID)
	if m == nil || m.conn != c {
		return
	}
	in.open.del(a.PacketID)
	if a.QoS == 2 {
		in.received.set(a.PacketID, true)
	}
}

// pubrel forgets a QoS 2 id and answers at once. An unknown id is the resend
// of a PUBREL whose PUBCOMP was lost.
func (s *Session) pubrel(c *conn, id uint16) {
	in := &s.in
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
