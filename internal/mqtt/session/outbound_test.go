package session

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// published returns the PUBLISH packets of list.
func published(list []mqtttest.Packet) (out []mqtttest.Packet) {
	for _, p := range list {
		if p.Type() == mqtttest.TypePublish {
			out = append(out, p)
		}
	}
	return out
}

func async(t testing.TB, s *Session, qos byte, payload string, o *outcomes) {
	t.Helper()
	if err := publishAsync(within(t, patience), s, &Message{Topic: "t", QoS: qos, Payload: []byte(payload)}, o.add); err != nil {
		t.Fatal(err)
	}
}

func TestT01_NilOnlyAfterTheAcknowledgement(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, tape := attached(t, s, true)
	err := s.Publish(within(t, time.Second), &Message{Topic: "t", QoS: 1})
	if e := asError(t, err, event.ReasonTimeout); !e.MayHaveBeenSent {
		t.Error("written, not acknowledged, and not said to be perhaps sent")
	}
	var o outcomes
	async(t, s, 1, "a", &o)
	async(t, s, 2, "b", &o)
	cut(c)
	if got := o.all(); len(got) != 0 {
		t.Fatalf("a cut completed %v", got)
	}
	c2, _ := attached(t, s, true)
	if got := o.all(); len(got) != 0 {
		t.Fatalf("a new connection completed %v", got)
	}
	sent := published(tape.wait(t, 3))
	feed(t, c2, puback(sent[1].ID()))
	if got := o.wait(t, 1); got[0] != nil {
		t.Fatal(got)
	}
	id := sent[2].ID()
	feed(t, c2, ack(mqtttest.TypePubcomp, id)) // not the next step of the exchange
	feed(t, c2, ack(mqtttest.TypePubrec, id))
	if got := o.all(); len(got) != 1 {
		t.Fatalf("PUBREC alone completed %v", got)
	}
	feed(t, c2, ack(mqtttest.TypePubcomp, id))
	if got := o.wait(t, 2); got[1] != nil {
		t.Fatal(got)
	}
}

func TestT02_PoisonIsRefusedBeforeTheWire(t *testing.T) {
	t.Parallel()
	s := direct(t)
	_, tape := attached(t, s, true)
	for name, m := range map[string]*Message{
		"+": {Topic: "a/+/b"}, "#": {Topic: "a/#"}, "NUL": {Topic: "a\x00b"}, "empty": {},
		"UTF-8": {Topic: "a\xffb"}, "T32 long": {Topic: strings.Repeat("x", 65_536)},
	} {
		for qos := range byte(3) {
			m.QoS = qos
			e := asError(t, s.Publish(t.Context(), m), event.ReasonBadTopic)
			if e.MayHaveBeenSent || len(e.Error()) > 1000 {
				t.Errorf("%s: %v", name, e)
			}
			if err := publishAsync(t.Context(), s, m, func(error) { t.Error("called back") }); event.ReasonOf(err) != event.ReasonBadTopic {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	asError(t, s.Publish(t.Context(), &Message{Topic: "t", QoS: 3}), event.ReasonBadRequest)
	asError(t, s.Publish(t.Context(), nil), event.ReasonBadRequest)
	asError(t, s.Publish(nil, &Message{Topic: "t"}), event.ReasonBadRequest) //nolint:staticcheck // misuse by a caller
	if err := s.Publish(t.Context(), &Message{Topic: "last"}); err != nil {
		t.Fatal(err)
	}
	if got := tape.wait(t, 1); len(got) != 1 || got[0].Topic() != "last" {
		t.Errorf("on the wire: %v", got)
	}
	if n := len(ids(s)); n != 0 {
		t.Errorf("%d slots taken", n)
	}
}

func TestT26_PayloadIsCopied(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4, 5000, 100_000} {
		s := direct(t)
		payload := bytes.Repeat([]byte("A"), size)
		var o outcomes
		c, _ := attached(t, s, true)
		if err := publishAsync(t.Context(), s, &Message{Topic: "t", QoS: 1, Payload: payload}, o.add); err != nil {
			t.Fatal(err)
		}
		copy(payload, bytes.Repeat([]byte("B"), size))
		cut(c)
		_, tape := attached(t, s, true)
		if got := tape.wait(t, 1)[0]; !bytes.Equal(got.Payload(), bytes.Repeat([]byte("A"), size)) {
			t.Errorf("%d bytes: the caller's change went out", size)
		}
	}
}

// D1: without a session nothing can be sent again. QoS 1 is published again as
// a new message; QoS 2 fails and reports that it may have been sent; messages
// that were never sent are unaffected.
func TestD01_LostSession(t *testing.T) {
	t.Parallel()
	for _, present := range []bool{true, false} {
		t.Run(fmt.Sprintf("present %t", present), func(t *testing.T) {
			t.Parallel()
			var j journal
			s := direct(t, to(&j))
			c, tape := attached(t, s, true)
			var one, two, released outcomes
			async(t, s, 1, "one", &one)
			async(t, s, 2, "two", &two)
			async(t, s, 2, "released", &released)
			first := tape.wait(t, 3)
			feed(t, c, ack(mqtttest.TypePubrec, first[2].ID()))
			tape.wait(t, 4)
			cut(c)
			c2, tape2 := attached(t, s, present)
			if present {
				again := tape2.wait(t, 3)
				for i := range 2 {
					if got := again[i+1]; got.ID() != first[i].ID() || !got.Dup() {
						t.Errorf("resent %v of %v", got, first[i])
					}
				}
				if again[0].Type() != mqtttest.TypePubrel || again[0].ID() != first[2].ID() {
					t.Errorf("after PUBREC the resend is %v", again[0])
				}
				return
			}
			again := tape2.wait(t, 1)
			if len(again) != 1 || again[0].ID() == first[0].ID() || again[0].Dup() || string(again[0].Payload()) != "one" {
				t.Errorf("published again: %v", again)
			}
			for _, o := range []*outcomes{&two, &released} {
				if e := asError(t, o.wait(t, 1)[0], event.ReasonSessionLost); !e.MayHaveBeenSent || e.Topic != "t" {
					t.Errorf("%v", e)
				}
			}
			feed(t, c2, puback(first[0].ID())) // of the old id: too late
			if len(one.all()) != 0 {
				t.Error("the acknowledgement of the lost session counted")
			}
			feed(t, c2, puback(again[0].ID()))
			if err := one.wait(t, 1)[0]; err != nil {
				t.Error(err)
			}
			if e := eventsOf[Forgotten](&j); len(e) != 1 || e[0].Unfinished != 2 {
				t.Errorf("events %+v", e)
			}
		})
	}
}

// A message whose publisher gave up is still found under its new id.
func TestD01_GivenUpMessageIsNotPublishedForEver(t *testing.T) {
	t.Parallel()
	s := direct(t, clean)
	c, _ := attached(t, s, false)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- s.Publish(ctx, &Message{Topic: "t", QoS: 1}) }()
	mqtttest.Eventually(t, patience, func() bool { return len(ids(s)) == 1 })
	cut(c)
	c, _ = attached(t, s, false)
	cancel()
	if e := asError(t, <-result, event.ReasonCanceled); !e.MayHaveBeenSent {
		t.Error(e)
	}
	cut(c)
	attached(t, s, false)
	if n := len(ids(s)); n != 0 {
		t.Errorf("%d still in flight", n)
	}
}

// D3: a second acknowledgement of an old message never completes a new one.
func TestD03_SecondAcknowledgement(t *testing.T) {
	t.Parallel()
	s := direct(t, windowOf(4))
	c, _ := attached(t, s, true)
	old := map[uint16]bool{}
	for range 5000 {
		var o outcomes
		async(t, s, 1, "", &o)
		id := ids(s)[0]
		for stale := range old {
			feed(t, c, puback(stale))
			break
		}
		if len(ids(s)) != 1 {
			t.Fatal("a stale acknowledgement completed a message")
		}
		feed(t, c, puback(id), puback(id))
		old[id] = true
	}
}

func TestD04_QoS2HasItsOwnWindow(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, tape := attached(t, s, true)
	var o outcomes
	for range DefaultQoS2Window {
		async(t, s, 2, "", &o)
	}
	err := publishAsync(within(t, 30*time.Millisecond), s, &Message{Topic: "t", QoS: 2}, o.add)
	asError(t, err, event.ReasonTimeout)
	async(t, s, 1, "", &o) // is not delayed
	id := published(tape.wait(t, 17))[0].ID()
	feed(t, c, ack(mqtttest.TypePubrec, id), ack(mqtttest.TypePubcomp, id))
	async(t, s, 2, "", &o)
}

// D8: the read loop answers and sends again without waiting for a write.
func TestD08_ReadLoopNeverWaitsForAWrite(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, tape := linked(t, s)
	tape.mu.Lock() // every write blocks
	accept(t, c, true)
	var o outcomes
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			_ = publishAsync(t.Context(), s, &Message{Topic: "t", QoS: 2}, o.add)
		}
		for _, id := range ids(s) {
			feed(t, c, ack(mqtttest.TypePubrec, id))
		}
		for id := range uint16(100) {
			feed(t, c, publication(id+1, 1, false, "in", ""))
		}
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("the read loop hangs")
	}
	tape.mu.Unlock()
	<-done
}

// D9: DUP may be set on the first copy that a broker sees, but never on the
// first copy that was passed to a connection.
func TestD09_DupOnlyWhenCarriedBefore(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, _ := attached(t, s, true)
	var o outcomes
	s.out.mu.Lock()
	s.out.quota = 1 // the second has to wait
	s.out.mu.Unlock()
	async(t, s, 1, "first", &o)
	async(t, s, 1, "second", &o)
	cut(c)
	_, tape := attached(t, s, true)
	got := tape.wait(t, 2)
	if !got[0].Dup() || got[1].Dup() || string(got[1].Payload()) != "second" {
		t.Errorf("%v", got)
	}
}

// D12: the broker's limits are checked before sending.
func TestD12_LimitsOfTheBroker(t *testing.T) {
	t.Parallel()
	s := direct(t)
	_, tape := attached(t, s, true)
	s.out.mu.Lock()
	s.out.limits = limits{maxQoS: 1, retain: false, maxPacket: 50}
	s.out.mu.Unlock()
	for want, m := range map[event.Reason]*Message{
		event.ReasonUnsupported: {Topic: "t", QoS: 2},
		event.ReasonTooLarge:    {Topic: "t", QoS: 1, Payload: make([]byte, 100)},
	} {
		asError(t, s.Publish(t.Context(), m), want)
	}
	asError(t, s.Publish(t.Context(), &Message{Topic: "t", Retain: true}), event.ReasonUnsupported)
	asError(t, s.Publish(t.Context(), &Message{Topic: "t", Payload: make([]byte, 100)}), event.ReasonTooLarge)
	if err := s.Publish(t.Context(), &Message{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	if got := tape.wait(t, 1); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// The broker's quota is respected, and returned once for each message that this
// connection carried [MQTT-4.9.0-2].
func TestQuotaOfTheBroker(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, tape := attached(t, s, true)
	s.out.mu.Lock()
	s.out.quota = 3
	s.out.mu.Unlock()
	var o outcomes
	for range 10 {
		async(t, s, 1, "", &o)
	}
	if got := tape.wait(t, 3); len(got) != 3 {
		t.Fatalf("%d on the wire", len(got))
	}
	for n := 4; n <= 10; n++ {
		feed(t, c, puback(ids(s)[0]))
		if got := tape.wait(t, n); len(got) != n {
			t.Fatalf("%d on the wire, want %d", len(got), n)
		}
	}
	cut(c)
	c2, _ := linked(t, s)
	s.out.mu.Lock()
	s.out.blocked = true
	s.out.mu.Unlock()
	accept(t, c2, true)
	s.out.mu.Lock()
	s.out.win.rewind() // as if the quota were used up: nothing has been sent yet
	s.out.quota = 0
	s.out.mu.Unlock()
	feed(t, c2, puback(ids(s)[0])) // a stored acknowledgement, before our resend
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	if s.out.quota != 0 || s.out.win.next != s.out.win.head {
		t.Errorf("quota %d from a message this connection has not carried", s.out.quota)
	}
}

// D13: what is read from a connection that was given up is ignored.
func TestD13_AcknowledgementsOfAnOldConnection(t *testing.T) {
	t.Parallel()
	s := direct(t)
	old, tape := attached(t, s, true)
	var o outcomes
	async(t, s, 1, "", &o)
	async(t, s, 2, "", &o)
	list := ids(s)
	s.out.detach(old) // given up, but its read loop continues
	for _, stage := range []string{"down", "on the next connection"} {
		for _, p := range [][]byte{puback(list[0]), ack(mqtttest.TypePubrec, list[1])} {
			if err := old.Frame(p[0], p[2:]); err == nil {
				t.Errorf("%s: a frame of the old connection is taken", stage)
			}
		}
		s.out.mu.Lock()
		_, sl := s.out.win.find(list[1])
		state := sl.state
		s.out.mu.Unlock()
		if len(ids(s)) != 2 || state != slotSent || len(o.all()) != 0 {
			t.Errorf("%s: it counted", stage)
		}
		attached(t, s, true)
	}
	for _, p := range tape.wait(t, 2) {
		if p.Type() == mqtttest.TypePubrel {
			t.Error("PUBREL on the old connection")
		}
	}
}

func TestPublishWithAnEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	s := direct(t)
	_, tape := attached(t, s, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for qos := range byte(3) {
		if e := asError(t, s.Publish(ctx, &Message{Topic: "t", QoS: qos}), event.ReasonCanceled); e.MayHaveBeenSent {
			t.Error(e)
		}
	}
	if got := tape.packets(t); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// A message that was never sent is removed when its publisher gives up.
func TestGivingUpBeforeTheWire(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, _ := attached(t, s, true)
	s.out.mu.Lock()
	s.out.quota = 0
	s.out.mu.Unlock()
	err := s.Publish(within(t, 20*time.Millisecond), &Message{Topic: "t", QoS: 1})
	if e := asError(t, err, event.ReasonTimeout); e.MayHaveBeenSent {
		t.Error(e)
	}
	cut(c)
	_, tape := attached(t, s, true)
	if err := s.Publish(t.Context(), &Message{Topic: "next"}); err != nil {
		t.Fatal(err)
	}
	if got := tape.wait(t, 1); len(got) != 1 || got[0].Topic() != "next" {
		t.Errorf("%v", got)
	}
}

// T25: a message that does not fit into the window waits within its context,
// far below the number of packet ids, and takes no memory.
func TestT25_WindowBoundsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	s := direct(t, windowOf(10))
	attached(t, s, true)
	var o outcomes
	for range 10 {
		async(t, s, 1, "", &o)
	}
	for range 100 {
		asError(t, publishAsync(within(t, time.Millisecond), s, &Message{Topic: "t", QoS: 1}, o.add), event.ReasonTimeout)
	}
	if n := len(ids(s)); n != 10 {
		t.Errorf("%d in flight", n)
	}
}

// RabbitMQ has no QoS 2 and answers it with PUBACK. Waiting for a PUBREC would
// fill the window permanently.
func TestPubackForQoS2IsAnAcknowledgement(t *testing.T) {
	t.Parallel()
	url := scripted(t, false, func(p *peer) {
		for packet, ok := p.next(); ok; packet, ok = p.next() {
			p.send(puback(packet.ID()))
		}
	})
	s := start(t, url, clean)
	for i := range 2 * DefaultQoS2Window {
		if err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: 2}); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}
