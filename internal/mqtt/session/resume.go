package session

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// attach makes c the connection that carries the window, called inside Read
// when its CONNACK passes and before anything else can arrive.
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
		o.qos2Cap = o.win.size // the broker says what it takes
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

// forget ends or restarts every exchange that a lost session cut short: QoS 1
// is published again as a new message, QoS 2 cannot be without risking a
// second delivery. A suspect that nobody waits for is published again all the
// same: who gives up soon would never be found.
func (o *outbound) forget() (lost int) {
	o.win.retired, o.win.worn = nil, false
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		switch {
		case sl.left && (sl.qos == 2 || !sl.suspect):
			_ = o.doubt(sl) // nobody is there to be told
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

// finish ends an exchange whose outcome is told after the lock.
func (o *outbound) finish(i int32, err error) {
	o.finished = append(o.finished, finish{o.end(i), err})
}

// refit ends what an earlier connection took and this one announces not to
// take [MQTT-3.2.2-11], [MQTT-3.2.2-14], [MQTT-3.2.2-15]: it may be another
// broker of the list.
func (o *outbound) refit() {
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		if sl.state != slotReleased {
			if err := o.lacks(demand{sl.qos, sl.frame[0]&1 != 0, len(sl.frame)}, "", sl.kept); err != nil {
				err.MayHaveBeenSent = sl.carried
				o.giveUp(i, err)
			}
		}
		i = next
	}
}

// detach is called once for the connection that ended.
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

// share keeps the packet ids apart from those of another client with our client id.
func (o *outbound) share() {
	o.mu.Lock()
	o.win.narrow()
	o.mu.Unlock()
}

// isWorn reports whether the session has no packet ids left to go on with.
func (o *outbound) isWorn() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.win.worn
}

// justNow is how long after a QoS 0 message the end of a connection may be the
// answer to it.
const justNow = time.Second

// topicOf is the topic of a PUBLISH frame of ours.
func topicOf(frame []byte) string {
	h, ok, err := wire.ParseHeader(frame)
	if err != nil || !ok || len(frame) < h.Size+2 {
		return ""
	}
	n := int(frame[h.Size])<<8 | int(frame[h.Size+1])
	return string(frame[h.Size+2 : min(len(frame), h.Size+2+n)])
}
