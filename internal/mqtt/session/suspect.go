package session

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A broker may answer what it does not take by ending the connection; one of
// MQTT 3.1.1 has no other way [MQTT-3.3.5-2]. After such a loss whatever was in
// flight on it is suspect. The next connection carries the first suspect alone,
// once it has shown that it carries anything: an acknowledgement clears the
// suspect, and then two go together, four, and so on, so that a crowd of innocents
// is cleared in a few round trips. Who is alone on a connection when it ends, so
// often that the network cannot be to blame (see trial.go), is convicted: it fails,
// and the others go on.

// releasedLosses is how often the broker has to end a connection that carries
// nothing but the PUBREL of a message that it took with a PUBREC.
const releasedLosses = 16

// The pauses before suspects are tried again: conviction is a matter of a second,
// and what is innocent waits for it. The first is that of any short outage, since
// the broker may have stopped; after many in a row the usual ones follow, for a
// stream of messages that each end a connection.
const (
	firstSuspicion = 200 * time.Millisecond
	nextSuspicion  = 50 * time.Millisecond
	manySuspicions = 2 * mostWeight
)

// probeTime is how long a connection may go on with few messages in flight. A
// broker that does not take one ends the connection at once; one that is slow, or
// never answers, must not hold up the others.
const (
	probeTime    = time.Second     // besides some round trips of the link
	longestTrial = 8 * time.Second // for the proof of the link, and again for the suspect
)

// blockedFor is how long a connection that we do not read may block its broker
// before that is taken for the cause of its end.
const blockedFor = time.Second

// convicted is the error of a message or filter that ends every connection.
func convicted(op, name string, l *event.LossError) *event.Error {
	e := &event.Error{Op: op, Topic: name, Reason: event.ReasonRefused, Convicted: true, ByBroker: true, Cause: l}
	if l.Code != 0 {
		e.Reason = reasonOfCode(l.Code)
	}
	e.MayHaveBeenSent = op == opPublish && e.Reason == event.ReasonRefused // a better reason says that it was not taken
	return e
}

// accuse makes suspects of what a lost connection had in flight, which are the
// first messages of the window, and ends the exchange of a convicted one. It
// reports whether there was one.
func (o *outbound) accuse(l *event.LossError, e *evidence) (found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.win.head != none && o.win.slots[o.win.head].suspect
	o.search.lost(o.suspects == 0, l, e)
	o.suspects = 0
	for i := o.win.head; i != none; i = o.win.slots[i].next {
		sl := &o.win.slots[i]
		if sl.suspect = sl.charged; sl.suspect { // who was not there is cleared
			o.suspects++
		}
	}
	if o.suspects != 1 || !known || e.life >= takeoverWindow {
		return false
	}
	head := &o.win.slots[o.win.head]
	head.alone++
	head.weight += e.weight()
	if head.state == slotReleased {
		return o.unreleased(head, l)
	}
	if !o.unrest.enough(head.alone, head.weight, l) {
		return false
	}
	o.search.found = true
	o.convict(o.win.head, convicted(opPublish, "", l))
	return true
}

// unreleased ends the exchange of a QoS 2 message that the broker took with a
// PUBREC, when it ends every connection over the PUBREL. Nothing is wrong with the
// message, so that nobody is convicted of it; but it must not hold up the others
// for ever.
func (o *outbound) unreleased(head *slot, l *event.LossError) bool {
	if head.alone < releasedLosses {
		return false
	}
	err := convicted(opPublish, "", l)
	err.Convicted, err.MayHaveBeenSent = false, true
	o.giveUp(o.win.head, err)
	return true
}

// giveUp ends the exchange of a message that may have reached the broker. What
// the broker knows of a QoS 2 exchange stays there: another message with its
// packet id would be taken for a repetition, so that the id is not used again in
// this session [MQTT-4.3.3-2].
func (o *outbound) giveUp(i int32, err error) {
	if sl := &o.win.slots[i]; sl.qos == 2 && sl.carried {
		o.win.retire(sl.id)
	}
	o.finish(i, err)
}

// cleared takes one suspect away, and lets one more of them go together: twice
// as many with each round trip. Once those that are left are all on their way,
// nothing would be learnt by holding back the others.
func (o *outbound) cleared() {
	o.suspects--
	if o.probe == 0 {
		return
	}
	if o.probe++; o.suspects < o.probe {
		o.probe = 0
	}
}

// probing reports whether nothing more may be in flight until suspects are
// cleared.
func (o *outbound) probing() bool {
	return o.proving || o.probe > 0 && o.receive-o.quota >= o.probe
}

// impatient lets the others go when the suspects of a connection have not been
// answered in time. They stay suspects for its end.
func (o *outbound) impatient(c *conn) {
	o.mu.Lock()
	if o.cur == c && o.probe > 0 {
		o.probe, o.proving = 0, false
		o.pump()
		o.wake()
	}
	o.mu.Unlock()
	c.link.Wake()
}

// inFlight are the messages that this connection carried and that were not
// acknowledged.
func (o *outbound) inFlight() (c crowd) {
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		if c.n++; c.n == 1 {
			c.first = topicOf(o.win.slots[i].frame)
		}
	}
	return c
}

// convictedFor is how long a convicted filter is not asked for again by itself:
// asking costs connections. A new call of Subscribe asks at once.
const convictedFor = 5 * time.Minute

// await notes the filters of a SUBSCRIBE on its way, none once it is answered.
func (t *subscriptions) await(filters []*wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = filters
}

// unanswered are the filters of a SUBSCRIBE that was on its way.
func (t *subscriptions) unanswered() (c crowd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.n = len(t.pending); c.n > 0 {
		c.first = t.pending[0].Filter.Filter
	}
	return c
}

// accuse makes suspects of the filters of the SUBSCRIBE that a lost connection
// had on its way, and returns the one that is convicted, if any.
func (t *subscriptions) accuse(l *event.LossError, e *evidence, u *unrest) (guilty *wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := len(t.pending) == 1 && t.pending[0].suspect && e.life < takeoverWindow
	for _, w := range t.wanted {
		w.suspect = slices.Contains(t.pending, w) // who was not there is cleared
	}
	if !known {
		return nil
	}
	w := t.pending[0]
	w.alone++
	if w.weight += e.weight(); !u.enough(w.alone, w.weight, l) {
		return nil
	}
	w.until = time.Now().Add(convictedFor)
	return w
}
