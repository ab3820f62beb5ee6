package session

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Reason codes that mean something else for a packet that was sent again.
const (
	codeNotFound = 0x92 // packet identifier not found
	codeInUse    = 0x91 // packet identifier in use
	codeFailed   = 0x80 // this and above is a failure
)

// acked handles PUBACK, PUBREC and PUBCOMP from connection c. An
// acknowledgement of an older connection, of an id not in flight or out of
// step is ignored: only the current connection may complete an exchange.
func (o *outbound) acked(c *conn, a *wire.Ack) {
	o.mu.Lock()
	if o.cur != c {
		o.mu.Unlock()
		return
	}
	c.noteUse()
	i, sl := o.win.find(a.PacketID)
	if sl == nil {
		o.answered(c, a)
	}
	over, err := o.step(sl, a)
	var done completion
	if over {
		o.acquit(sl)
		done = o.end(i)
		next := o.win.next
		o.pump()
		o.wake()
		c.wake = c.wake || o.win.next != next // what waited for quota or room is queued now
	}
	o.mu.Unlock()
	if done != nil {
		done.complete(err)
	}
}

// ackBatch is how many PUBACKs are taken together at most.
const ackBatch = 256

// pubacks collects the successful PUBACKs of one read, which are nearly all
// that a publisher gets: one lock for many.
type pubacks struct {
	acks  []takenPuback
	done  []completion
	async []outcome
}

type takenPuback struct {
	id       uint16
	unrouted bool // no subscription matched
}

// settle completes what was collected, in order.
func (o *outbound) settle(c *conn) {
	p := &c.pubacks
	if len(p.acks) == 0 {
		return
	}
	o.mu.Lock()
	if o.cur == c {
		c.noteUse()
		for _, a := range p.acks {
			i, sl := o.win.find(a.id)
			if sl == nil {
				o.answered(c, &wire.Ack{Type: wire.TypePuback, PacketID: a.id})
				continue
			}
			if o.tookPuback(sl) {
				if a.unrouted {
					o.unrouted(sl)
				}
				o.acquit(sl)
				p.done = append(p.done, o.end(i))
			}
		}
		next := o.win.next
		o.pump()
		o.wake()
		c.wake = c.wake || o.win.next != next
	}
	o.mu.Unlock()
	p.tell()
}

// tell completes outside the lock: waiting callers at once, callbacks together.
func (p *pubacks) tell() {
	var to *callbacks
	for _, done := range p.done {
		switch d := done.(type) {
		case nil:
		case *asyncCall:
			if to != nil && to != d.to {
				to.add(p.async...)
				p.async = p.async[:0]
			}
			to = d.to
			p.async = append(p.async, d.end(nil))
		default:
			d.complete(nil)
		}
	}
	if to != nil {
		to.add(p.async...)
	}
	clear(p.done)
	clear(p.async)
	p.acks, p.done, p.async = p.acks[:0], p.done[:0], p.async[:0]
}

// step moves one slot through its exchange; over says that it ended, err with
// which outcome.
func (o *outbound) step(sl *slot, a *wire.Ack) (over bool, err error) {
	switch {
	case a.Type == wire.TypePubrec:
		return o.pubrec(sl, a)
	case sl == nil:
		return false, nil
	case a.Type == wire.TypePuback && o.tookPuback(sl):
		return true, o.ackError(a)
	case a.Type == wire.TypePubcomp && sl.state == slotReleased:
		if sl.resent && a.Reason == codeNotFound {
			return true, nil // the broker had finished before our resend
		}
		return true, o.ackError(a)
	}
	return false, nil
}

// tookPuback reports whether a PUBACK completes the exchange. A broker of MQTT
// 3.1.1 without QoS 2 answers it so: it has taken the message at QoS 1.
func (o *outbound) tookPuback(sl *slot) bool {
	return sl.state == slotSent && (sl.qos == 1 || o.version == wire.V311)
}

// pubrec answers with PUBREL, after which a resend is PUBREL only.
func (o *outbound) pubrec(sl *slot, a *wire.Ack) (over bool, err error) {
	switch {
	case sl == nil || sl.qos != 2 || sl.state == slotQueued:
		o.answer(a.PacketID, codeNotFound)
		return false, nil
	case a.Reason == codeInUse && sl.resent: // the broker has the first copy
	case a.Reason >= codeFailed:
		return true, o.ackError(a)
	}
	if a.Reason == wire.ReasonNoMatchingSubscribers && sl.state == slotSent {
		o.unrouted(sl)
	}
	if sl.state != slotReleased {
		o.recs++
		sl.state, sl.recs = slotReleased, o.recs
		o.ended++
	}
	o.answer(sl.id, 0)
	return false, nil
}

func (o *outbound) answer(id uint16, reason byte) {
	var buf [8]byte
	o.cur.link.QueueAck(wire.AppendAck(buf[:0], o.version, wire.TypePubrel, id, reason))
	o.cur.wake = true
}

// ackError is nil for success and a typed error for a refusal.
func (o *outbound) ackError(a *wire.Ack) error {
	if a.Reason < codeFailed {
		return nil
	}
	return &event.Error{Op: opPublish, Reason: reasonOfCode(a.Reason), ByBroker: true, Cause: &CodeError{
		Packet: a.Type.String(), Code: a.Reason,
		Name: wire.ReasonName(a.Type, o.version, a.Reason), Detail: clip(string(a.ReasonString)),
	}}
}

// unrouted notes that the broker took a message although no subscription
// matches it. A retained one waits at the broker for those that come.
func (o *outbound) unrouted(sl *slot) {
	topic, retained := wire.PublishTopic(sl.frame)
	if retained {
		return
	}
	again := sl.unrouted != nil && sl.unrouted()
	sl.unrouted = nil
	if !again && o.onUnrouted != nil {
		o.onUnrouted(topic)
	}
}
