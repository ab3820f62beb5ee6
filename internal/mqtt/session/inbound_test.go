package session

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func receiving(t testing.TB, opts ...option) (*Session, *box) {
	t.Helper()
	b := new(box)
	return direct(t, append(opts, into(b))...), b
}

func summary(list []mqtttest.Packet) (out []string) {
	for _, p := range list {
		out = append(out, fmt.Sprintf("%v %d", p.Type(), p.ID()))
	}
	return out
}

func expect(t testing.TB, tape *tape, want ...string) {
	t.Helper()
	if got := summary(tape.wait(t, len(want))); !slices.Equal(got, want) {
		t.Fatalf("on the wire: %v, want %v", got, want)
	}
}

// T35, [MQTT-4.6.0-2]: acknowledgements are sent in receive order, for QoS 1
// and 2 together.
func TestT35_AcknowledgementsInReceiveOrder(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	c, tape := attached(t, s, true)
	feed(t, c, publication(7, 1, false, "a", ""), publication(3, 2, false, "b", ""), publication(9, 1, false, "c", ""))
	got := b.all()
	got[2].Done()
	got[1].Done()
	expect(t, tape)
	got[0].Done()
	expect(t, tape, "PUBACK 7", "PUBREC 3", "PUBACK 9")
	got[0].Done() // a second call does nothing
	feed(t, c, ack(mqtttest.TypePubrel, 3))
	expect(t, tape, "PUBACK 7", "PUBREC 3", "PUBACK 9", "PUBCOMP 3")
}

func TestRelaxedAcknowledgements(t *testing.T) {
	t.Parallel()
	s, b := receiving(t, func(c *Config) { c.RelaxedAcks = true })
	c, tape := attached(t, s, true)
	feed(t, c, publication(7, 1, false, "a", ""), publication(3, 1, false, "b", ""))
	b.all()[1].Done()
	expect(t, tape, "PUBACK 3")
}

// T5: an acknowledgement is sent only on the connection that delivered the
// message.
func TestT05_LateAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("done before the redelivery %t", early), func(t *testing.T) {
			t.Parallel()
			s, b := receiving(t)
			c, old := attached(t, s, true)
			feed(t, c, publication(7, 1, false, "a", "x"), publication(8, 2, false, "b", "y"))
			got := b.all()
			cut(c)
			c2, tape := attached(t, s, true)
			if early {
				got[0].Done()
				got[1].Done()
				expect(t, tape)
			}
			feed(t, c2, publication(7, 1, true, "a", "x"), publication(8, 2, true, "b", "y"))
			if !early {
				expect(t, tape)
				got[1].Done()
				got[0].Done()
			}
			expect(t, tape, "PUBACK 7", "PUBREC 8")
			expect(t, old)
			if n := len(b.all()); n != 2 {
				t.Errorf("delivered %d times", n)
			}
			if n := s.in.count(); n != 0 {
				t.Errorf("%d unacknowledged", n)
			}
		})
	}
}

// T27: a lost PUBREC or PUBCOMP makes the broker repeat the packet, but the
// handler does not run again.
func TestT27_QoS2RepeatsRunNoHandler(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	b.done = true
	c, tape := attached(t, s, true)
	feed(t, c, publication(5, 2, false, "a", "x"))
	expect(t, tape, "PUBREC 5")
	cut(c)
	c, tape = attached(t, s, true)
	feed(t, c, publication(5, 2, true, "a", "x"), ack(mqtttest.TypePubrel, 5))
	expect(t, tape, "PUBREC 5", "PUBCOMP 5")
	cut(c)
	c, tape = attached(t, s, true)
	feed(t, c, ack(mqtttest.TypePubrel, 5)) // the PUBCOMP was lost
	expect(t, tape, "PUBCOMP 5")
	if n := len(b.all()); n != 1 {
		t.Errorf("handled %d times", n)
	}
	feed(t, c, publication(5, 2, false, "a", "x"))
	if n := len(b.all()); n != 2 {
		t.Errorf("a new message under the id again was not handled")
	}
}

// D10: a DUP with a known id is a repetition only if it is the same message.
func TestD10_DupWithOtherContentIsANewMessage(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	c, _ := attached(t, s, true)
	feed(t, c, publication(7, 1, false, "a", "x"), publication(8, 1, false, "a", "y"), publication(9, 1, false, "b", "z"))
	cut(c)
	c, tape := attached(t, s, true)
	feed(t, c, publication(7, 1, true, "a", "other"), publication(8, 1, true, "other", "y"), publication(9, 2, true, "b", "z"))
	got := b.all()
	if len(got) != 6 {
		t.Fatalf("delivered %d, want 6", len(got))
	}
	for _, m := range got[:3] {
		m.Done() // delivered by the old connection: nothing is sent
	}
	expect(t, tape)
	for _, m := range got[3:] {
		m.Done()
	}
	expect(t, tape, "PUBACK 7", "PUBACK 8", "PUBREC 9")
}

// D10: an equal message with an id that was acknowledged is a new one.
func TestD10_AcknowledgedIsNotJoined(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	b.done = true
	c, tape := attached(t, s, true)
	feed(t, c, publication(7, 1, false, "a", "x"))
	expect(t, tape, "PUBACK 7")
	cut(c)
	c, _ = attached(t, s, true)
	feed(t, c, publication(7, 1, true, "a", "x"))
	if n := len(b.all()); n != 2 {
		t.Errorf("delivered %d times", n)
	}
}

// The session is lost: its packet ids are forgotten.
func TestReceivingAfterALostSession(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	c, _ := attached(t, s, true)
	feed(t, c, publication(7, 2, false, "a", "x"), publication(8, 2, false, "a", "y"))
	b.all()[0].Done()
	cut(c)
	c, tape := attached(t, s, false)
	feed(t, c, publication(7, 2, true, "a", "x"), publication(8, 2, true, "a", "y"))
	got := b.all()
	if len(got) != 4 {
		t.Fatalf("delivered %d, want 4", len(got))
	}
	got[1].Done()
	expect(t, tape)
	got[2].Done()
	got[3].Done()
	expect(t, tape, "PUBREC 7", "PUBREC 8")
}

// An ended connection is still about to write acknowledgements when the next
// connection redelivers. Neither may affect the other's message.
func TestAcknowledgementRacesWithRedelivery(t *testing.T) {
	t.Parallel()
	for qos := byte(1); qos <= 2; qos++ {
		s, b := receiving(t)
		old, _ := attached(t, s, true)
		// The old connection stops between taking the acknowledgement and
		// writing it.
		reached, goOn := make(chan struct{}), make(chan struct{})
		old.ledger = delivery.NewLedger(false, func() {
			close(reached)
			<-goOn
			old.Acks(nil)
		})
		feed(t, old, publication(7, qos, false, "a", "x"))
		finished := make(chan struct{})
		go func() { b.all()[0].Done(); close(finished) }()
		<-reached
		cut(old)
		c, tape := attached(t, s, true)
		feed(t, c, publication(7, qos, true, "a", "x"))
		if n := len(b.all()); n != 1 {
			t.Errorf("QoS %d: handled %d times", qos, n)
		}
		tape.wait(t, 1) // done already: answered immediately
		feed(t, c, publication(7, qos, false, "b", "a new message"))
		close(goOn)
		<-finished
		if s.in.count() != 1 {
			t.Errorf("QoS %d: the late acknowledgement forgot the new message", qos)
		}
		if s.in.received.get(7) {
			t.Errorf("QoS %d: the late acknowledgement marked the new message as received", qos)
		}
	}
}

// Without a limit on held messages, a peer that does not read acknowledgements
// is disconnected.
func TestUnreadAcknowledgementsEndTheConnection(t *testing.T) {
	t.Parallel()
	s, _ := receiving(t)
	c, _ := attached(t, s, true)
	var err error
	n := 0
	for ; err == nil && n <= 2*maxUnread; n++ {
		p := publication(uint16(n%1000+1), 1, false, "a", "x")
		err = c.Frame(p[0], p[2:])
	}
	if !errors.Is(err, errUnread) || n != maxUnread+1 {
		t.Errorf("%v after %d messages, want the end after %d", err, n, maxUnread)
	}
}

func TestFramesOutOfPlaceEndTheConnection(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	c, _ := linked(t, s)
	p := publication(1, 1, false, "a", "")
	if err := c.Frame(p[0], p[2:]); err == nil {
		t.Error("a PUBLISH before CONNACK is taken")
	}
	accept(t, c, false)
	if err := c.Connack(0x20, []byte{0, 0}); err == nil {
		t.Error("a second CONNACK is taken")
	}
	for _, bad := range [][]byte{{0x36, 0, 1, 'a'}, {0x32, 0, 1, 'a', 0, 0}, {0x40, 0, 0}, {0x60, 0, 1}, {0x32, 0, 1, '#', 0, 1}} {
		if err := c.Frame(bad[0], bad[1:]); err == nil {
			t.Errorf("% x is taken", bad)
		}
	}
	cut(c)
	if err := c.Connack(0x20, []byte{0, 0}); err == nil {
		t.Error("a CONNACK after the end is taken")
	}
	if s.out.cur != nil || len(b.all()) != 0 {
		t.Error("it had an effect")
	}
}

func TestStopIntakeLeavesMessagesUnacknowledged(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	c, tape := attached(t, s, true)
	feed(t, c, publication(1, 1, false, "a", ""))
	s.StopIntake()
	feed(t, c, publication(2, 1, false, "a", ""), publication(3, 0, false, "a", ""))
	b.all()[0].Done()
	expect(t, tape, "PUBACK 1")
	if n := len(b.all()); n != 1 {
		t.Errorf("delivered %d", n)
	}
}

func TestPropertiesOfMQTT5(t *testing.T) {
	t.Parallel()
	s, b := receiving(t)
	c := newConn(s, wire.V5, 0)
	c.up = true
	m := &Message{Topic: "a", QoS: 1, Payload: []byte("x"), Properties: &Properties{
		ContentType: "text/plain", ResponseTopic: "r", CorrelationData: []byte{1}, Expiry: 1500e6,
		User: []UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
	}}
	frame, err := encode(nil, m, 7, wire.V5, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ := wire.ParseHeader(frame)
	if err := c.Frame(h.First, frame[h.Size:]); err != nil {
		t.Fatal(err)
	}
	clear(frame)
	p := b.all()[0].Properties
	if p.ContentType != "text/plain" || p.ResponseTopic != "r" || p.CorrelationData[0] != 1 || p.Expiry != 2e9 ||
		!slices.Equal(p.User, m.Properties.User) {
		t.Errorf("%+v", p)
	}
}

// Random deliveries, completions, cuts and redeliveries are compared with what
// a broker may see: acknowledgements in receive order of their connection, each
// for a message that is done, and no QoS 2 message handled twice.
func TestInboundAgainstABroker(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s, b := receiving(t)
		var (
			c       *conn
			tape    *tape
			next    uint16
			unacked []pending // in the broker's order
			order   []uint16  // receive order of this connection
			freed   []uint16  // PUBREC seen
			handled = map[string]int{}
		)
		connect := func() {
			if c != nil {
				cut(c)
			}
			c, tape = attached(t, s, true)
			order = nil
			for _, p := range unacked {
				feed(t, c, publication(p.id, p.qos, true, "t", p.payload))
				order = append(order, p.id)
			}
			for _, id := range freed {
				feed(t, c, ack(mqtttest.TypePubrel, id))
			}
			freed = nil
		}
		connect()
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": func(rt *rapid.T) {
				next++
				p := pending{next%50 + 1, byte(rapid.IntRange(1, 2).Draw(rt, "qos")), fmt.Sprint(next)}
				if slices.ContainsFunc(unacked, func(o pending) bool { return o.id == p.id }) {
					rt.Skip("id in use")
				}
				unacked = append(unacked, p)
				order = append(order, p.id)
				feed(t, c, publication(p.id, p.qos, false, "t", p.payload))
			},
			"done": func(rt *rapid.T) {
				if all := b.all(); len(all) > 0 {
					all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")].Done()
				}
			},
			"see": func(rt *rapid.T) { // the broker reads what was written
				_ = c.link.Close()
				for _, p := range tape.packets(t) {
					if p.Type() == mqtttest.TypePubcomp {
						continue
					}
					if len(order) == 0 || order[0] != p.ID() {
						rt.Fatalf("%v, receive order %v", p, order)
					}
					order = order[1:]
					at := slices.IndexFunc(unacked, func(o pending) bool { return o.id == p.ID() })
					qos2 := unacked[at].qos == 2
					unacked = slices.Delete(unacked, at, at+1)
					if qos2 {
						freed = append(freed, p.ID())
						s.in.mu.Lock()
						if !s.in.received.get(p.ID()) {
							rt.Fatal("PUBREC written and not remembered")
						}
						s.in.mu.Unlock()
					}
				}
				connect()
			},
			"cut": func(*rapid.T) { connect() },
			"": func(rt *rapid.T) {
				clear(handled)
				for _, m := range b.all() {
					if m.QoS == 2 {
						if handled[string(m.Payload)]++; handled[string(m.Payload)] > 1 {
							rt.Fatalf("QoS 2 message %s handled twice", m.Payload)
						}
					}
				}
			},
		})
	})
}

// pending is a message that the broker has not received an acknowledgement for.
type pending struct {
	id      uint16
	qos     byte
	payload string
}
