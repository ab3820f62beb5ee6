package session

import (
	"bytes"
	"slices"
	"sync"
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

// A connection that carries a suspect alone is a trial: the broker may end it, or
// the network may. What tells the two apart:
//
//   - Before the suspect goes, a PINGREQ is answered. A link that is cut anyhow is
//     cut in that time as well, and then nobody was on trial.
//   - A broker that refuses ends the connection in order, and at once. A reset, or
//     an end that comes late, weighs half.
//   - Each recent loss that no packet of ours is to blame for makes it likely that
//     the next one is such a loss, too, so that more of them are needed.
//
// A reason code of the broker leaves no doubt about the network.

// The weight of an end with one suspect alone, and what convicts.
const (
	weightOfEnd    = 1  // reset, or late
	weightInOrder  = 2  // in order and at once
	enoughWeight   = 6  // three ends in order, or six others
	weightOfCut    = 2  // more for each recent loss without a culprit
	mostWeight     = 20 // what convicts on the worst of links
	losingWithCode = 1  // ends with a reason code
	amongOthers    = 4  // times as much convicts a topic whose messages were not alone
)

// cutsCount is for how long a loss without a culprit counts.
const cutsCount = time.Minute

// A broker that refuses has answered promptly when the end came within some round
// trips of the link and a moment.
const (
	promptRoundTrips = 4
	promptMoment     = 100 * time.Millisecond
)

// weight is that of an end as evidence against a suspect that was alone.
func (e *evidence) weight() uint8 {
	if closedInOrder(e.err) && !e.late {
		return weightInOrder
	}
	return weightOfEnd
}

// unrest is how often connections were lost lately with no packet of ours to
// blame: nothing was on its way, or all that was has been acknowledged since. Safe
// for concurrent use; no other lock is taken while it is held.
type unrest struct {
	mu    sync.Mutex
	cuts  []time.Time // oldest first, no more than count
	inRow int         // searches in a row that found nobody, each begun by a loss soon after CONNACK

	rash bool // see Config; does not change
}

// maxCuts is how many losses count.
const maxCuts = (mostWeight - enoughWeight) / weightOfCut

// cut notes n losses without a culprit.
func (u *unrest) cut(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range min(n, maxCuts) {
		if len(u.cuts) == maxCuts {
			u.cuts = append(u.cuts[:0], u.cuts[1:]...)
		}
		u.cuts = append(u.cuts, time.Now())
	}
}

// enough reports whether a suspect is convicted that was alone so often, and whose
// ends weigh so much.
func (u *unrest) enough(alone, weight uint8, l *event.LossError) bool {
	if l.Code != 0 {
		return alone >= losingWithCode
	}
	return int(weight) >= u.wanted()
}

// wanted is the weight that convicts without a reason code.
func (u *unrest) wanted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	wanted := enoughWeight
	if u.rash {
		wanted = weightOfEnd
	}
	for _, at := range u.cuts {
		if time.Since(at) < cutsCount {
			wanted += weightOfCut
		}
	}
	return wanted
}

// cleared notes a search that found nobody.
func (u *unrest) cleared() {
	u.mu.Lock()
	u.inRow++
	u.mu.Unlock()
}

// clearedInRow is how many there were in a row.
func (u *unrest) clearedInRow() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inRow
}

// otherwise ends the row: this loss has another reason.
func (u *unrest) otherwise() {
	u.mu.Lock()
	u.inRow = 0
	u.mu.Unlock()
}

// search is the search for the message that ends connections, from the loss that
// made suspects until none is left. The mutex of outbound is held.
type search struct {
	losses int  // of connections
	found  bool // somebody was convicted
	soon   bool // the last of the losses came soon after CONNACK
	weight uint8
	loss   *event.LossError // the last one, and its weight
}

// lost notes a loss with suspects; first begins another search.
func (s *search) lost(first bool, l *event.LossError, e *evidence) {
	if first {
		*s = search{}
	}
	s.losses++
	s.loss, s.weight = l, e.weight()
	s.soon = e.isSoon() && e.sent == ""
}

// acquit is told of a message that was acknowledged: its kind is taken. It ended
// none of the connections that it was alone on; and when it is the last of the
// suspects and none was convicted, nobody ended any.
func (o *outbound) acquit(sl *slot) {
	o.kinds.taken(sl)
	if !sl.suspect {
		return
	}
	innocent := int(sl.alone)
	if o.suspects == 1 && !o.search.found {
		innocent = max(innocent, o.search.losses)
		if o.search.soon {
			o.unrest.cleared()
		}
	}
	o.search.losses -= min(innocent, o.search.losses)
	o.unrest.cut(innocent)
}

// prove holds everything back until the link has carried something. The mutex of
// outbound is held.
func (o *outbound) prove(c *conn) {
	o.proving = true
	asked := time.Now()
	c.link.Ping(func() { o.proved(c, asked) })
}

// proved lets the first suspect go. It is called by the read loop.
func (o *outbound) proved(c *conn, asked time.Time) {
	o.mu.Lock()
	if o.cur == c && o.proving {
		o.proving, c.roundTrip = false, time.Since(asked)
		c.patience.Reset(c.trialTime()) // the suspect's own time
		o.pump()
		o.wake()
	}
	o.mu.Unlock()
	c.link.Wake()
}

// trialTime is how long a connection may go on with few messages in flight, which
// is more where the answer takes longer. The mutex of outbound is held.
func (c *conn) trialTime() time.Duration {
	return min(probeTime+promptRoundTrips*c.roundTrip, longestTrial)
}

// isLate reports whether a connection ended later than the answer to the message
// that it carried alone should have come. The mutex of outbound is held.
func (c *conn) isLate() bool {
	return !c.alone.IsZero() && time.Since(c.alone) > promptRoundTrips*c.roundTrip+promptMoment
}

// held is the error of a message whose kind is held back, or nil.
func (o *outbound) held(m *Message) error {
	if len(o.kinds.known) == 0 {
		return nil
	}
	return o.kinds.refuse(m, time.Now())
}

// doubt is told of a message whose exchange cannot go on, because the session is
// lost. A suspect at QoS 2 is never alone on a connection then: what tells is that
// connections end with its topic on the way, one after the other, and that no
// message of it is acknowledged in between. The error is that of a topic of which
// that is enough, and messages of which are held from now on. The search finds
// nobody any more, but that does not clear the messages.
func (o *outbound) doubt(sl *slot) error {
	if !sl.suspect || sl.qos != 2 || sl.state == slotReleased {
		return nil
	}
	o.search.found = true
	if !o.kinds.doubt(sl.frame, int(o.search.weight), amongOthers*o.unrest.wanted()) {
		return nil
	}
	err := convicted(opPublish, "", o.search.loss)
	err.MayHaveBeenSent = true
	o.kinds.convict(sl.frame, err, time.Now())
	return err
}

// convict ends the exchange of a convicted message, and those of the others of its
// topic when such messages are held from now on.
func (o *outbound) convict(i int32, err *event.Error) {
	sl := &o.win.slots[i]
	frame := bytes.Clone(sl.frame)
	held := o.kinds.convict(frame, err, time.Now())
	o.giveUp(i, err)
	if !held {
		return
	}
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		if sl.state != slotReleased && flagsOf(sl.frame) == flagsOf(frame) && topicOf(sl.frame) == topicOf(frame) {
			kin := *err
			kin.MayHaveBeenSent = kin.MayHaveBeenSent && sl.carried
			o.giveUp(i, &kin)
		}
		i = next
	}
}
