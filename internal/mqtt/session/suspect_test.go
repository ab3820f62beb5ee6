package session

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// closes ends a connection as a broker does, and passes it to the supervisor's
// verdict.
func closes(t testing.TB, v *supervisor, c *conn) *event.LossError {
	t.Helper()
	c.Closed(io.EOF)
	return v.verdict(v.s.cfg.Addresses[0], c)
}

// T2, engine.md D4: the broker ends each connection that carries a certain
// message. The message is sent alone and convicted after enough losses, and no
// other is.
func TestT02_MessageThatEndsEveryConnection(t *testing.T) {
	t.Parallel()
	s := direct(t)
	v := newSupervisor(s)
	c, tape := attached(t, s, true)
	var before, poison, good outcomes
	async(t, s, 1, "before", &before)
	async(t, s, 1, "poison", &poison)
	for range 20 {
		async(t, s, 1, "good", &good)
	}
	tape.wait(t, 22)
	feed(t, c, puback(ids(s)[0])) // acknowledgements of others do not acquit a suspect
	if l := closes(t, v, c); l.Kind != event.LossPublish || l.Suspects != 21 || l.Topic != "t" {
		t.Errorf("%+v", l)
	}
	for n := range enoughWeight / weightInOrder {
		c, tape = attached(t, s, true)
		if got := tape.wait(t, 1); len(got) != 1 || string(got[0].Payload()) != "poison" {
			t.Fatalf("alone: %v", got)
		}
		if err := s.Publish(within(t, 20*time.Millisecond), &Message{Topic: "zero"}); err == nil {
			t.Error("QoS 0 beside a suspect")
		}
		if len(poison.all()) != 0 {
			t.Fatalf("convicted after %d losses alone", n)
		}
		closes(t, v, c)
	}
	e := asError(t, poison.wait(t, 1)[0], event.ReasonRefused)
	if !e.Convicted || !e.MayHaveBeenSent || e.Topic != "t" || event.LossKindOf(e) != event.LossPublish {
		t.Errorf("%+v", e)
	}
	c, tape = attached(t, s, true)
	tape.wait(t, 20) // the others are sent at once
	for _, id := range ids(s) {
		feed(t, c, puback(id))
	}
	for _, err := range append(good.wait(t, 20), before.all()...) {
		if err != nil {
			t.Error(err)
		}
	}
	if s.out.suspects != 0 || s.out.probe != 0 {
		t.Errorf("%d suspects left, %d at once", s.out.suspects, s.out.probe)
	}
}

// A broker that acknowledges late leaves many suspects. They are cleared in
// growing groups, and the guilty one among them is found.
func TestSuspectAmongMany(t *testing.T) {
	t.Parallel()
	for _, guilty := range []int{0, 1, 100, 254, 255} {
		s := direct(t)
		v := newSupervisor(s)
		c, _ := attached(t, s, true)
		var all [256]outcomes
		for i := range all {
			async(t, s, 1, fmt.Sprint(i), &all[i])
		}
		id := ids(s)[guilty]
		closes(t, v, c)
		losses := 1
		for slices.Contains(ids(s), id) {
			var tape *tape
			c, tape = attached(t, s, true)
			losses++
			for seen := 0; !over(c); {
				got := tape.wait(t, seen+1)[seen:]
				seen += len(got)
				for _, p := range got {
					if string(p.Payload()) == fmt.Sprint(guilty) { // not acknowledged
						closes(t, v, c)
						break
					}
				}
				for i := 0; !over(c) && i < len(got); i++ {
					feed(t, c, puback(got[i].ID()))
				}
			}
		}
		if losses > 12 {
			t.Errorf("number %d: %d losses", guilty, losses)
		}
		c, _ = attached(t, s, true)
		for len(ids(s)) > 0 {
			for _, id := range ids(s) {
				feed(t, c, puback(id))
			}
		}
		for i := range all {
			if err := all[i].wait(t, 1)[0]; (err != nil) != (i == guilty) {
				t.Fatalf("number %d: %v", i, err)
			}
		}
	}
}

func over(c *conn) bool { return c.over.Load() }

// A broker that never acknowledges a suspect but keeps the connection does not
// delay other messages.
func TestSilenceOverASuspectHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := direct(t)
	v := newSupervisor(s)
	var o outcomes
	c, _ := attached(t, s, true)
	async(t, s, 1, "", &o)
	async(t, s, 1, "", &o)
	closes(t, v, c)
	_, tape := attached(t, s, true)
	tape.wait(t, 2)
	if err := s.Publish(within(t, patience), &Message{Topic: "zero"}); err != nil {
		t.Error(err)
	}
}

// A reason code of the broker immediately convicts a suspect that was alone,
// and appears in the error.
func TestCodeConvictsAtOnce(t *testing.T) {
	t.Parallel()
	for code, reason := range map[byte]event.Reason{0x87: event.ReasonNotAuthorized, 0x95: event.ReasonTooLarge, 0x90: event.ReasonBadTopic, 0x80: event.ReasonRefused} {
		s := direct(t)
		v := newSupervisor(s)
		var o outcomes
		c, _ := attached(t, s, true)
		async(t, s, 1, "", &o)
		for range 1 + losingWithCode {
			if len(o.all()) != 0 {
				t.Fatal("convicted too soon")
			}
			told := codeError(wire.TypeDisconnect, code)
			told.Detail = "because"
			c.dismissal.Store(told)
			closes(t, v, c)
			c, _ = attached(t, s, true)
		}
		e := asError(t, o.wait(t, 1)[0], reason)
		asCode(t, e, "DISCONNECT", code, "because")
		if !e.Convicted || e.MayHaveBeenSent != (reason == event.ReasonRefused) {
			t.Errorf("0x%02X: %+v", code, e)
		}
	}
}

// A failure of the network makes no suspects.
func TestNetworkAccusesNobody(t *testing.T) {
	t.Parallel()
	s := direct(t)
	v := newSupervisor(s)
	var o outcomes
	c, _ := attached(t, s, true)
	async(t, s, 1, "", &o)
	for range 30 {
		c.Closed(link.ErrNoPingresp)
		v.verdict(v.s.cfg.Addresses[0], c)
		c, _ = attached(t, s, true)
	}
	if len(o.all()) != 0 || s.out.suspects != 0 {
		t.Errorf("%v", o.all())
	}
}

// engine.md "Suspected": the broker may remember a QoS 2 exchange that was
// given up, and would discard another message with its id.
func TestIDOfAConvictedQoS2IsNotUsedAgain(t *testing.T) {
	t.Parallel()
	for _, released := range []bool{false, true} {
		s := direct(t, windowOf(2))
		v := newSupervisor(s)
		c, _ := attached(t, s, true)
		var o outcomes
		async(t, s, 2, "", &o)
		bad := ids(s)[0]
		if released {
			feed(t, c, ack(mqtttest.TypePubrec, bad))
		}
		losses := 1 + enoughWeight/weightInOrder
		if released { // the broker accepted it: given up late, and not convicted
			losses = 1 + releasedLosses
		}
		for range losses {
			closes(t, v, c)
			c, _ = attached(t, s, true)
		}
		if e := asError(t, o.wait(t, 1)[0], event.ReasonRefused); e.Convicted == released || !e.MayHaveBeenSent {
			t.Errorf("released %t: %+v", released, e)
		}
		used := make(map[uint16]bool)
		for range idCount + 10 {
			i, sl := s.out.win.take(2)
			used[sl.id] = true
			s.out.win.drop(i)
		}
		if used[bad] || len(used) != idCount-1 {
			t.Errorf("released %t: id %d used again: %t; %d ids in use", released, bad, used[bad], len(used))
		}
		cut(c)
		attached(t, s, false) // the broker has lost the session, too
		if s.out.win.retired != nil {
			t.Error("retired for ever")
		}
	}
}

// [MQTT-4.6.0-4]: PUBRELs are sent in the order of the PUBRECs.
func TestPubrelsInTheOrderOfPubrecs(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, _ := attached(t, s, true)
	var o outcomes
	for range 4 {
		async(t, s, 2, "", &o)
	}
	list := ids(s)
	order := []uint16{list[3], list[0], list[2]}
	for _, id := range order {
		feed(t, c, ack(mqtttest.TypePubrec, id))
	}
	cut(c)
	_, tape := attached(t, s, true)
	var rels []uint16
	for _, p := range tape.wait(t, 4) {
		if p.Type() == mqtttest.TypePubrel {
			rels = append(rels, p.ID())
		}
	}
	if !slices.Equal(rels, order) {
		t.Errorf("PUBRELs %v, want %v", rels, order)
	}
}

// engine.md D12b: a message that is sent again respects the limits of the
// connection that carries it.
func TestResendKeepsToTheLimitsOfThisConnection(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, _ := attached(t, s, true)
	var large, twice, kept, good outcomes
	publish := func(m *Message, o *outcomes) {
		if err := publishAsync(within(t, patience), s, m, o.add); err != nil {
			t.Fatal(err)
		}
	}
	publish(&Message{Topic: "large", QoS: 1, Payload: make([]byte, 200)}, &large)
	publish(&Message{Topic: "twice", QoS: 2}, &twice)
	publish(&Message{Topic: "kept", QoS: 1, Retain: true}, &kept)
	publish(&Message{Topic: "good", QoS: 1}, &good)
	cut(c)
	next, tape := linked(t, s)
	next.connack = wire.Connack{SessionPresent: true, ReceiveMaximum: 10, MaximumQoS: 1, MaximumPacketSize: 100}
	s.out.attach(next)
	s.out.report()
	next.link.Wake()
	if got := tape.wait(t, 1); len(got) != 1 || got[0].Topic() != "good" {
		t.Errorf("resent %v", got)
	}
	for name, tc := range map[string]struct {
		o      *outcomes
		reason event.Reason
	}{"large": {&large, event.ReasonTooLarge}, "twice": {&twice, event.ReasonUnsupported}, "kept": {&kept, event.ReasonUnsupported}} {
		if e := asError(t, tc.o.wait(t, 1)[0], tc.reason); !e.MayHaveBeenSent || e.Topic != name {
			t.Errorf("%+v", e)
		}
	}
}
