package session

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Reason codes that have another meaning for a packet that was sent again.
const (
	codeNotFound = 0x92 // packet identifier not found
	codeInUse    = 0x91 // packet identifier in use
	codeFailed   = 0x80 // codes from here on are failures
)

// acked handles a PUBACK, PUBREC or PUBCOMP from connection c. It ignores an
// acknowledgement from an older connection, with an id that is not in flight,
// or out of step: only the current connection may complete an exchange.
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
		c.wake = c.wake || o.win.next != next // a message that waited for quota or room is queued now
	}
	o.mu.Unlock()
	if done != nil {
		done.complete(err)
	}
}

// ackBatch is the maximum number of PUBACKs that are handled together.
const ackBatch = 256

// pubacks collects the successful PUBACKs of one read, so that many are handled
// under one lock. A publisher receives hardly anything else.
type pubacks struct {
	acks  []takenPuback
	done  []completion
	async []outcome
}

type takenPuback struct {
	id       uint16
	unrouted bool // the broker reported that no subscription matched
}

// settle completes the collected exchanges in order.
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
	p.report()
}

// report completes exchanges without the lock: waiting callers one by one,
// callbacks together.
func (p *pubacks) report() {
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

// step advances one slot in its exchange. over reports whether the exchange
// ended, with the outcome err.
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

// tookPuback reports whether a PUBACK completes the exchange. An MQTT 3.1.1
// broker without QoS 2 answers a QoS 2 message with PUBACK: it has accepted the
// message at QoS 1.
func (o *outbound) tookPuback(sl *slot) bool {
	return sl.state == slotSent && (sl.qos == 1 || o.version == wire.V311)
}

// pubrec answers with PUBREL. From then on only PUBREL is sent again.
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

// ackError returns nil for success and a typed error for a refusal.
func (o *outbound) ackError(a *wire.Ack) error {
	if a.Reason < codeFailed {
		return nil
	}
	return &event.Error{Op: opPublish, Reason: reasonOfCode(a.Reason), ByBroker: true, Cause: &CodeError{
		Packet: a.Type.String(), Code: a.Reason,
		Name: wire.ReasonName(a.Type, o.version, a.Reason), Detail: clip(string(a.ReasonString)),
	}}
}

// unrouted records that the broker accepted a message although no subscription
// matches it. A retained message is excluded, because the broker keeps it for
// later subscribers.
func (o *outbound) unrouted(sl *slot) {
	topic, retained := wire.PublishTopic(sl.frame)
	if retained || o.ignoreUnrouted {
		return
	}
	again := sl.unrouted != nil && sl.unrouted()
	sl.unrouted = nil
	if !again && o.onUnrouted != nil {
		o.onUnrouted(topic)
	}
}

// attach makes c the connection of the window. It is called on the read loop
// when CONNACK arrives, before anything else can arrive.
func (o *outbound) attach(c *conn) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.over.Load() {
		return 0
	}
	c.since = time.Now()
	c.roundTrip = c.since.Sub(c.begun)
	a := &c.connack
	o.cur, o.version, o.blocked = c, c.version, false
	o.aliasCap = c.s.cfg.TopicAliases
	if o.qos2Cap = c.s.cfg.QoS2Window; c.version != wire.V311 {
		o.qos2Cap = o.win.size // the broker announces its Receive Maximum
	}
	o.limits = limits{maxQoS: a.MaximumQoS, retain: a.RetainAvailable, maxPacket: int(a.MaximumPacketSize)}
	o.offers.attached(c, o.limits)
	o.settled()
	if !a.SessionPresent {
		lost = o.forget()
	}
	o.refit()
	o.win.releasedFirst()
	o.win.rewind()
	o.receive, o.probe, o.proving = int(a.ReceiveMaximum), min(o.suspects, 1), false
	o.quota = o.receive
	o.aliases.reset(min(o.aliasCap, int(a.TopicAliasMaximum)), int(a.MaximumPacketSize))
	if o.probe > 0 {
		o.prove(c)
		c.patience = time.AfterFunc(c.trialTime(), func() { o.impatient(c) })
	}
	o.pump()
	o.wake()
	o.watch()
	return lost
}

// forget ends or restarts every exchange that a lost session cut short. QoS 1
// is published again as a new message; QoS 2 cannot be published again without
// risking a second delivery. A suspect without a waiting caller is published
// again nevertheless, because otherwise a suspect whose callers give up soon
// would never be convicted.
func (o *outbound) forget() (lost int) {
	o.win.retired, o.win.exhausted = nil, false
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		switch {
		case sl.left && (sl.qos == 2 || !sl.suspect):
			_ = o.doubt(sl) // no caller is waiting for the error
			o.end(i)
		case sl.state == slotQueued:
		case sl.qos == 1:
			o.win.republish(i)
		default:
			lost++
			err := o.doubt(sl)
			if err == nil {
				err = &event.Error{Op: opPublish, Reason: event.ReasonSessionLost, MayHaveBeenSent: true}
			}
			o.finish(i, err)
		}
		i = next
	}
	return lost
}

// finish ends an exchange. Its outcome is reported after the lock is released.
func (o *outbound) finish(i int32, err error) {
	o.finished = append(o.finished, finish{o.end(i), err})
}

// refit ends exchanges that an earlier connection accepted and that this one
// excludes [MQTT-3.2.2-11], [MQTT-3.2.2-14], [MQTT-3.2.2-15]: it may be another
// broker of the list.
func (o *outbound) refit() {
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		if sl.state != slotReleased {
			if err := o.offers.lacks(o, demand{sl.qos, sl.frame[0]&1 != 0, len(sl.frame)}, "", sl.kept); err != nil {
				err.MayHaveBeenSent = sl.carried
				o.giveUp(i, err)
			}
		}
		i = next
	}
}

// detach is called once, for the connection that ended.
func (o *outbound) detach(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.over.Store(true)
	if o.cur == c {
		o.cur = nil
		o.offers.stop()
	}
	if c.patience != nil {
		c.patience.Stop()
	}
	if !c.since.IsZero() {
		c.evidence.life = time.Since(c.since)
		c.evidence.publishing, c.evidence.late = o.inFlight(), c.isLate()
		if c.sent != "" && time.Since(c.sentAt) < justNow {
			c.evidence.sent = c.sent
		}
	}
	o.wake()
}

// share separates the packet ids from those of another client with the same
// client id.
func (o *outbound) share() {
	o.mu.Lock()
	o.win.narrow()
	o.mu.Unlock()
}

// idsExhausted reports whether the session has no packet ids left to continue with.
func (o *outbound) idsExhausted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.win.exhausted
}

// justNow is how long after a QoS 0 message the end of a connection may be the
// answer to it.
const justNow = time.Second

// topicOf returns the topic of a PUBLISH frame.
func topicOf(frame []byte) string {
	h, ok, err := wire.ParseHeader(frame)
	if err != nil || !ok || len(frame) < h.Size+2 {
		return ""
	}
	n := int(frame[h.Size])<<8 | int(frame[h.Size+1])
	return string(frame[h.Size+2 : min(len(frame), h.Size+2+n)])
}
