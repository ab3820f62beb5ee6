package session

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A broker may answer a message that it does not accept by ending the connection; an
// MQTT 3.1.1 broker has no other way [MQTT-3.3.5-2]. After such a loss all messages
// that were in flight are suspects. Once the next connection has been shown to work, it
// carries the first suspect alone. An acknowledgement clears it, and then two are sent
// together, four, and so on, so that many innocent messages are cleared in a few round
// trips. A suspect is convicted if connections that carried it alone ended so often
// that the network cannot be the cause (see weightOfEnd). It fails, and the others
// continue.

// releasedLosses is how often the broker has to end a connection that carries
// only the PUBREL of a message, which it had answered with a PUBREC.
const releasedLosses = 16

// The pauses before suspects are tried again. Conviction takes about a second,
// for which innocent messages wait. The first pause is that of any short
// outage, since the broker may have stopped. After many in a row the usual
// pauses follow, for a stream of messages that each end a connection.
const (
	firstSuspicion = 200 * time.Millisecond
	nextSuspicion  = 50 * time.Millisecond
	manySuspicions = 2 * mostWeight
)

// probeTime is how long a connection may carry only a few messages in flight. A
// broker that does not accept one ends the connection at once; one that is slow
// or never answers must not delay the others.
const (
	probeTime    = time.Second     // in addition to some round trips
	longestTrial = 8 * time.Second // limit for the check of the link, and again for the suspect
)

// blockedFor is how long we may leave a connection unread before the blocked
// broker is taken for the cause of its end.
const blockedFor = time.Second

// convicted returns the error of a message or filter that ends every
// connection.
func convicted(op, name string, l *event.LossError) *event.Error {
	e := &event.Error{Op: op, Topic: name, Reason: event.ReasonRefused, Convicted: true, ByBroker: true, Cause: l}
	if l.Code != 0 {
		e.Reason = reasonOfCode(l.Code)
	}
	e.MayHaveBeenSent = op == opPublish && e.Reason == event.ReasonRefused // a more specific reason means that it was not accepted
	return e
}

// accuse makes suspects of the messages that a lost connection had in flight,
// which are the first of the window, and ends the exchange of a convicted one.
// It reports whether it convicted one.
func (o *outbound) accuse(l *event.LossError, e *evidence) (found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known := o.win.head != none && o.win.slots[o.win.head].suspect
	o.search.lost(o.suspects == 0, l, e)
	o.suspects = 0
	for i := o.win.head; i != none; i = o.win.slots[i].next {
		sl := &o.win.slots[i]
		if sl.suspect = sl.charged; sl.suspect { // a message that was not in flight is cleared
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

// unreleased ends the exchange of a QoS 2 message that the broker accepted with a
// PUBREC, if the broker ends every connection because of its PUBREL. The message is not
// convicted, because it was accepted, but the exchange must not delay the others
// forever.
func (o *outbound) unreleased(head *slot, l *event.LossError) bool {
	if head.alone < releasedLosses {
		return false
	}
	err := convicted(opPublish, "", l)
	err.Convicted, err.MayHaveBeenSent = false, true
	o.giveUp(o.win.head, err)
	return true
}

// giveUp ends the exchange of a message that may have reached the broker. The
// broker may still remember a QoS 2 exchange and would take another message
// with the packet id for a repetition, so the id is not used again in this
// session [MQTT-4.3.3-2].
func (o *outbound) giveUp(i int32, err error) {
	if sl := &o.win.slots[i]; sl.qos == 2 && sl.carried {
		o.win.retire(sl.id)
	}
	o.finish(i, err)
}

// cleared removes one suspect and lets one more be sent together with others:
// twice as many with each round trip. Once all remaining suspects are in
// flight, the other messages continue, because holding them back would show
// nothing more.
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

// impatient lets the other messages continue if the suspects of a connection
// were not answered in time. They stay suspects until its end.
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

// inFlight returns the unacknowledged messages that this connection carried.
func (o *outbound) inFlight() (c crowd) {
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		if c.n++; c.n == 1 {
			c.first = topicOf(o.win.slots[i].frame)
		}
	}
	return c
}

// convictedFor is how long a convicted filter is not requested again
// automatically, because requesting it costs connections. A new call of
// Subscribe requests it immediately.
const convictedFor = 5 * time.Minute

// await records the filters of a SUBSCRIBE in flight, or nil once it is
// answered.
func (t *subscriptions) await(filters []*wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending = filters
}

// unanswered returns the filters of a SUBSCRIBE that was in flight.
func (t *subscriptions) unanswered() (c crowd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.n = len(t.pending); c.n > 0 {
		c.first = t.pending[0].Filter.Filter
	}
	return c
}

// accuse makes suspects of the filters of the SUBSCRIBE that a lost connection
// had in flight, and returns the one that is convicted, or nil.
func (t *subscriptions) accuse(l *event.LossError, e *evidence, u *unrest) (guilty *wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := len(t.pending) == 1 && t.pending[0].suspect && e.life < takeoverWindow
	for _, w := range t.wanted {
		w.suspect = slices.Contains(t.pending, w) // a filter that was not in flight is cleared
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

// A connection that carries a single suspect tests it, but its end may also be
// caused by the network. The following distinguishes the two:
//
//   - A PINGREQ must be answered before the suspect is sent. A link that fails
//     anyway often fails in that time, and then no suspect was tested.
//   - A broker that refuses ends the connection in order and at once. A reset or
//     a late end has half the weight.
//   - Each recent loss that no packet of ours caused makes it likely that the
//     next one has no such cause either, so that more ends are needed.
//
// With a reason code of the broker the network is not the cause.

// The weight of the end of a connection with a single suspect, and the weight
// that convicts.
const (
	weightOfEnd    = 1  // a reset or a late end
	weightInOrder  = 2  // in order and at once
	enoughWeight   = 6  // three orderly ends or six others
	weightOfCut    = 2  // additional weight for each recent unexplained loss
	mostWeight     = 20 // weight that convicts on the worst link
	losingWithCode = 1  // number of ends with a reason code that convict
	amongOthers    = 4  // factor for a topic whose messages were not alone
)

// cutsCount is how long an unexplained loss counts.
const cutsCount = time.Minute

// A broker that refuses has answered promptly if the end came within some round
// trips plus a moment.
const (
	promptRoundTrips = 4
	promptMoment     = 100 * time.Millisecond
)

// weight returns the weight of this end as evidence against a suspect that was
// alone.
func (e *evidence) weight() uint8 {
	if closedInOrder(e.err) && !e.late {
		return weightInOrder
	}
	return weightOfEnd
}

// unrest records recent losses that no packet of ours caused: nothing was in
// flight, or everything that was in flight has been acknowledged since. Safe
// for concurrent use; no other lock is taken while its own is held.
type unrest struct {
	mu    sync.Mutex
	cuts  []time.Time // oldest first; at most maxCuts
	inRow int         // consecutive searches without a conviction that each began with a loss soon after CONNACK

	rash bool // Config.Rash
}

// maxCuts is how many losses are counted at most.
const maxCuts = (mostWeight - enoughWeight) / weightOfCut

// cut records n unexplained losses.
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

// enough reports whether the evidence convicts a suspect: alone is the number
// of ends at which it was alone, weight their total weight.
func (u *unrest) enough(alone, weight uint8, l *event.LossError) bool {
	if l.Code != 0 {
		return alone >= losingWithCode
	}
	return int(weight) >= u.wanted()
}

// wanted returns the weight that convicts without a reason code.
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

// cleared records a search without a conviction.
func (u *unrest) cleared() {
	u.mu.Lock()
	u.inRow++
	u.mu.Unlock()
}

// clearedInRow returns the number of consecutive searches without a conviction.
func (u *unrest) clearedInRow() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.inRow
}

// otherwise ends the row, because this loss has another cause.
func (u *unrest) otherwise() {
	u.mu.Lock()
	u.inRow = 0
	u.mu.Unlock()
}

// search is the search for the message that ends connections, from the loss
// that made suspects until none is left. The mutex of outbound must be held.
type search struct {
	losses int  // number of lost connections
	found  bool // a message was convicted
	soon   bool // the last loss came soon after CONNACK
	weight uint8
	loss   *event.LossError // the last loss of a suspect that was alone, and its weight
}

// lost records a loss with suspects; first starts a new search.
func (s *search) lost(first bool, l *event.LossError, e *evidence) {
	if first {
		*s = search{}
	}
	s.losses++
	s.loss, s.weight = l, e.weight()
	s.soon = e.isSoon() && e.sent == ""
}

// acquit is called for an acknowledged message. It releases the message's kind.
// The losses at which the message was alone were unexplained. If it was the
// last suspect and none was convicted, no message caused any of the losses.
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

// prove holds everything back until the link has been shown to work. The mutex
// of outbound must be held.
func (o *outbound) prove(c *conn) {
	o.proving = true
	asked := time.Now()
	c.link.Ping(func() { o.proved(c, asked) })
}

// proved lets the first suspect be sent. The read loop calls it.
func (o *outbound) proved(c *conn, asked time.Time) {
	o.mu.Lock()
	if o.cur == c && o.proving {
		o.proving, c.roundTrip = false, time.Since(asked)
		c.patience.Reset(c.trialTime()) // the time for the suspect starts now
		o.pump()
		o.wake()
	}
	o.mu.Unlock()
	c.link.Wake()
}

// trialTime returns how long a connection may carry only a few messages in
// flight. It is longer if answers take longer. The mutex of outbound must be
// held.
func (c *conn) trialTime() time.Duration {
	return min(probeTime+promptRoundTrips*c.roundTrip, longestTrial)
}

// isLate reports whether the connection ended later than the answer to its only
// message should have arrived. The mutex of outbound must be held.
func (c *conn) isLate() bool {
	return !c.alone.IsZero() && time.Since(c.alone) > promptRoundTrips*c.roundTrip+promptMoment
}

// held returns the error of a message whose kind is held, or nil.
func (o *outbound) held(m *Message) error {
	if len(o.kinds.known) == 0 {
		return nil
	}
	return o.kinds.refuse(m, time.Now())
}

// doubt is called for a message whose exchange cannot continue because the
// session is lost. A QoS 2 suspect is then never alone on a connection. The
// evidence against its topic is that consecutive connections end while a
// message of it is in flight, and that none of its messages is acknowledged in
// between. If the evidence suffices, messages of the topic are held from then
// on, and doubt returns their error. The search then ends without a conviction,
// but that does not clear the messages.
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

// convict ends the exchange of a convicted message, and those of other messages
// of its topic if they are held from now on.
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
