package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Known pitfalls of the MQTT 5 library. V3 and V8 concern handlers and are
// covered by the conformance tests; V6 concerns a file queue, which is not
// used.

// The library writes acknowledgements periodically; this package sends them as
// soon as the first message in receive order is done.
func TestV1_AcknowledgementsLeaveAtOnceInReceiveOrder(t *testing.T) {
	t.Parallel()
	const n = 10
	acks := make(chan uint16, n)
	url := scripted5(t, welcome(), func(p *peer5) {
		for id := range uint16(n) {
			p.send(mqtttest.PublishPacket(5, id+1, "a", 1, "x"))
		}
		for {
			switch got := p.next().(type) {
			case *packets.Puback:
				acks <- got.PacketID
			case nil, *packets.Disconnect:
				return
			}
		}
	})
	sink := &box{}
	start(t, url, speaking(Version5), into(sink))
	got := sink.wait(t, n)
	for _, m := range got[1:] {
		m.Done()
	}
	select {
	case id := <-acks:
		t.Fatalf("%d was acknowledged past one that is not done", id)
	case <-time.After(20 * time.Millisecond): // it would have been sent by now
	}
	got[0].Done()
	for want := range uint16(n) {
		select {
		case id := <-acks:
			if id != want+1 {
				t.Fatalf("acknowledged %d, want %d", id, want+1)
			}
		case <-time.After(patience):
			t.Fatal("no acknowledgement")
		}
	}
}

// A running handler does not prevent a reconnect, and its acknowledgement is
// sent on the connection that delivers the message again.
func TestV2_RunningHandlerDoesNotBlockReconnecting(t *testing.T) {
	t.Parallel()
	acked := make(chan uint16, 1)
	url := scripted5(t, func(n int) []byte {
		if n > 1 {
			return mqtttest.ConnackPacket(5, true, 0)
		}
		return connack5(0)
	}, func(p *peer5) {
		pub := mqtttest.PublishPacket(5, 7, "a", 1, "x")
		if p.n > 1 {
			pub[0] |= 8
		}
		p.send(pub)
		if p.n == 1 {
			_ = p.next() // answers SUBSCRIBE; nothing else arrives
			return
		}
		if got, ok := p.next().(*packets.Puback); ok {
			acked <- got.PacketID
		}
		serveAll5(p)
	})
	var j journal
	sink := &box{}
	proxy := mqtttest.NewProxy(t, url)
	s := open(t, proxy.URL(), speaking(Version5), into(sink), to(&j))
	want(t, s, "a")
	s.Start()
	m := sink.wait(t, 1)[0] // its handler does not return
	ready(t, s)
	proxy.Cut()
	waitEvent[Connected](t, &j, 2)
	mqtttest.Eventually(t, patience, func() bool {
		return proxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypePublish) == 2
	})
	m.Done()
	select {
	case id := <-acked:
		if id != 7 {
			t.Fatalf("acknowledged %d", id)
		}
	case <-time.After(patience):
		t.Fatal("not acknowledged on the new connection")
	}
	if n := len(sink.all()); n != 1 {
		t.Fatalf("delivered %d times", n)
	}
}

// A publish that waits while the connection is cut reports its true outcome.
func TestV4_PublishIsTruthfulAcrossACut(t *testing.T) {
	t.Parallel()
	broker := mqtttest.Mosquitto(t)
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprint("QoS ", qos), func(t *testing.T) {
			t.Parallel()
			topic := fmt.Sprint("truth/", qos)
			sink := &box{done: true}
			sub := open(t, broker.URL(), speaking(Version5), into(sink))
			want(t, sub, topic)
			sub.Start()
			ready(t, sub)
			proxy := mqtttest.NewProxy(t, broker.URL())
			ack := mqtttest.TypePuback
			if qos == 2 {
				ack = mqtttest.TypePubcomp
			}
			pub := start(t, proxy.URL(), clientID(idOf(t)+"-pub"), speaking(Version5))
			proxy.CutBefore(mqtttest.ToClient, ack, 1)
			if err := pub.Publish(within(t, patience), &Message{Topic: topic, QoS: qos, Payload: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			if n := proxy.Counts().Passed(mqtttest.ToClient, ack); n != 1 {
				t.Fatalf("nil after %d acknowledgements", n)
			}
			if err := pub.Publish(within(t, patience), &Message{Topic: topic, QoS: qos, Payload: []byte("last")}); err != nil {
				t.Fatal(err)
			}
			copies := 0
			for _, m := range sink.wait(t, 2) {
				if string(m.Payload) == "x" {
					copies++
				}
			}
			if copies == 0 || (qos == 2 && copies != 1) {
				t.Fatalf("%d copies", copies)
			}
		})
	}
}

// A message that the broker must refuse is never sent, so that it cannot end
// one connection after another.
func TestV5_PoisonIsRefusedBeforeTheWire(t *testing.T) {
	t.Parallel()
	seen := make(chan packets.Packet, 10)
	url := scripted5(t, welcome(), func(p *peer5) {
		for got := p.next(); got != nil; got = p.next() {
			seen <- got
		}
	})
	s := start(t, url, speaking(Version5))
	ctx := within(t, patience)
	for topic, reason := range map[string]event.Reason{
		"": event.ReasonBadTopic, "a/#": event.ReasonBadTopic, "a/+/b": event.ReasonBadTopic, "a\x00": event.ReasonBadTopic, "\xff": event.ReasonBadTopic,
	} {
		for qos := range byte(3) {
			asError(t, s.Publish(ctx, &Message{Topic: topic, QoS: qos}), reason)
		}
	}
	for _, bad := range []*Properties{
		{ContentType: "\xff"}, {ResponseTopic: "a/#"}, {User: []UserProperty{{Key: "k", Value: "\xff"}}}, {User: []UserProperty{{Key: "\x00", Value: ""}}},
	} {
		asError(t, s.Publish(ctx, &Message{Topic: "a", QoS: 1, Properties: bad}), event.ReasonBadRequest)
	}
	if n := s.InFlight(); n != 0 {
		t.Fatalf("%d in flight", n)
	}
	s.Close(ctx)
	if got, ok := (<-seen).(*packets.Disconnect); !ok {
		t.Fatalf("on the wire: %v", got)
	}
}

// The session has its own backoff, and a lost session is an event.
func TestV7_SessionLostIsAnEvent(t *testing.T) {
	t.Parallel()
	broker := mqtttest.Mosquitto(t)
	proxy := mqtttest.NewProxy(t, broker.URL())
	var j journal
	sink := &box{done: true}
	s := open(t, proxy.URL(), speaking(Version5), into(sink), to(&j))
	want(t, s, "a")
	s.Start()
	ready(t, s)
	proxy.Refuse(true)
	proxy.Cut()
	other := mqtttest.Raw(t, broker.URL())
	other.Connect(5, idOf(t), true) // takes over the session
	other.Send(mqtttest.PacketOf(0xE0))
	other.ExpectClosed()
	proxy.Refuse(false)
	if lost := waitEvent[Forgotten](t, &j, 1); lost[0].ClientID != idOf(t) {
		t.Fatalf("%+v", lost[0])
	}
	waitEvent[Subscribed](t, &j, 2)
	if err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	sink.wait(t, 1)
	if c := eventsOf[Connected](&j); len(c) != 2 || c[1].SessionPresent {
		t.Fatalf("%+v", c)
	}
}

func TestSessionResumeOnMQTT5(t *testing.T) {
	t.Parallel()
	broker := mqtttest.Mosquitto(t)
	pub := start(t, broker.URL(), clientID("resume-pub"), speaking(Version5))
	for name, tc := range map[string]struct {
		set  option
		kept bool
	}{
		"kept":  {func(*Config) {}, true},
		"clean": {clean, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := &box{done: true}
			var j journal
			run := func() *Session {
				s := open(t, broker.URL(), clientID("resume-"+name), speaking(Version5), into(sink), to(&j), tc.set)
				want(t, s, name)
				s.Start()
				ready(t, s)
				return s
			}
			run().Close(within(t, patience))
			if err := pub.Publish(within(t, patience), &Message{Topic: name, QoS: 2, Payload: []byte("away")}); err != nil {
				t.Fatal(err)
			}
			run()
			if c := eventsOf[Connected](&j); len(c) != 2 || c[1].SessionPresent != tc.kept {
				t.Fatalf("%+v", c)
			}
			if err := pub.Publish(within(t, patience), &Message{Topic: name, QoS: 2, Payload: []byte("back")}); err != nil {
				t.Fatal(err)
			}
			last := func() bool {
				got := sink.all()
				return len(got) > 0 && string(got[len(got)-1].Payload) == "back"
			}
			mqtttest.Eventually(t, patience, last)
			if n := len(sink.all()); (n == 2) != tc.kept {
				t.Fatalf("%d messages", n)
			}
		})
	}
}

func TestWillOnMQTT5(t *testing.T) {
	t.Parallel()
	broker := mqtttest.Mosquitto(t)
	sink := &box{done: true}
	sub := open(t, broker.URL(), clientID("will-sub"), speaking(Version5), into(sink))
	want(t, sub, "will/#")
	sub.Start()
	ready(t, sub)
	vanishing := func(name string) (*mqtttest.Proxy, *Session) {
		proxy := mqtttest.NewProxy(t, broker.URL())
		return proxy, start(t, proxy.URL(), clientID(name), speaking(Version5), func(c *Config) {
			c.NoReconnect = true
			c.Will = &Message{
				Topic: "will/" + name, Payload: []byte("gone"), QoS: 1,
				Properties: &Properties{User: []UserProperty{{Key: "who", Value: name}}},
			}
		})
	}
	_, polite := vanishing("polite")
	polite.Close(within(t, patience))
	proxy, _ := vanishing("rude")
	proxy.Cut()
	got := sink.wait(t, 1)
	if m := got[0]; m.Topic != "will/rude" || string(m.Payload) != "gone" || m.QoS != 1 || m.Properties.User[0].Value != "rude" {
		t.Fatalf("%+v", m)
	}
	// The broker has handled the orderly disconnect first.
	if err := sub.Publish(within(t, patience), &Message{Topic: "will/end", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	if got := sink.wait(t, 2); got[1].Topic != "will/end" {
		t.Fatalf("a will after DISCONNECT: %s", got[1].Topic)
	}
}

// The proxy checks that there are never more messages in flight than the broker
// announced.
func TestReceiveMaximumOfMosquitto(t *testing.T) {
	t.Parallel()
	const messages, announced = 2000, 7
	broker := mqtttest.Mosquitto(t, mqtttest.WithMaxInflight(announced))
	proxy := mqtttest.NewProxy(t, broker.URL())
	outstanding := map[uint16]bool{}
	most, limit := 0, 0
	proxy.Observe(func(p mqtttest.Observed) {
		switch p.Type() {
		case mqtttest.TypeConnack:
			if i := slices.Index(p.Body[3:], 0x21); i >= 0 {
				limit = int(p.Body[3+i+1])<<8 | int(p.Body[3+i+2])
			}
		case mqtttest.TypePublish:
			outstanding[p.ID()] = true
			most = max(most, len(outstanding))
		case mqtttest.TypePuback, mqtttest.TypePubcomp:
			delete(outstanding, p.ID())
		}
	})
	s := start(t, proxy.URL(), speaking(Version5), windowOf(128))
	var o outcomes
	for i := range messages {
		if err := publishAsync(within(t, patience), s, &Message{Topic: "a", QoS: byte(1 + i%2)}, o.add); err != nil {
			t.Fatal(err)
		}
	}
	if errs := slices.DeleteFunc(o.wait(t, messages), func(err error) bool { return err == nil }); len(errs) > 0 {
		t.Fatal(errs[0])
	}
	s.Close(within(t, patience))
	proxy.Observe(nil) // after this no call is running
	if most > announced || most < 2 || limit != announced {
		t.Fatalf("most outstanding %d, announced %d", most, limit)
	}
	t.Logf("receive maximum %d, most outstanding %d", limit, most)
}

// Mosquitto sends one copy for each overlapping subscription, and each copy
// identifies its subscription.
func TestSubscriptionIdentifiersTellCopiesApart(t *testing.T) {
	t.Parallel()
	sink := &box{done: true}
	s := open(t, mqtttest.Mosquitto(t).URL(), speaking(Version5), into(sink))
	filters := []string{"a/b", "a/+", "a/#", "+/b"}
	want(t, s, filters...)
	s.Start()
	ready(t, s)
	if err := s.Publish(within(t, patience), &Message{Topic: "a/b", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	got := sink.wait(t, len(filters))
	for _, f := range filters {
		n := 0
		for _, m := range got {
			if m.Through(FilterID(f)) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d copies came through %q", n, f)
		}
	}
}

func TestRefusedPublishOfMosquitto(t *testing.T) {
	t.Parallel()
	broker := mqtttest.Mosquitto(t, mqtttest.WithACL("topic read #", "topic write mine"))
	s := start(t, broker.URL(), speaking(Version5))
	for _, qos := range []byte{1, 2} {
		err := s.Publish(within(t, patience), &Message{Topic: "theirs", QoS: qos})
		asError(t, err, event.ReasonNotAuthorized)
		if err := s.Publish(within(t, patience), &Message{Topic: "mine", QoS: qos}); err != nil {
			t.Fatal(err) // no subscription matches: 0x10 is a success code
		}
	}
}

// A message that is not acknowledged at the stop is delivered to the next
// session.
func TestStopAndResumeOnMQTT5(t *testing.T) {
	t.Parallel()
	broker := mqtttest.Mosquitto(t)
	url := broker.URL()
	first := &box{}
	s := open(t, url, speaking(Version5), into(first))
	want(t, s, "a")
	s.Start()
	ready(t, s)
	const n = 10
	for i := range n {
		m := &Message{Topic: "a", QoS: byte(1 + i%2), Payload: []byte(fmt.Sprint(i))}
		if err := s.Publish(within(t, patience), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range first.wait(t, n)[:4] {
		m.Done()
	}
	s.Close(within(t, patience))
	second := &box{done: true}
	start(t, url, speaking(Version5), into(second))
	for i, m := range second.wait(t, n-4) {
		if string(m.Payload) != fmt.Sprint(i+4) || !m.Duplicate {
			t.Fatalf("%d: %q, duplicate %t", i, m.Payload, m.Duplicate)
		}
	}
}

func TestHalfOpenOnMQTT5(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	var j journal
	s := start(t, proxy.URL(), speaking(Version5), to(&j), func(c *Config) {
		c.KeepAlive, c.PingTimeout, c.ConnectTimeout = time.Second, 200*time.Millisecond, 500*time.Millisecond
	})
	proxy.BlackHole(mqtttest.ToClient, true)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var o outcomes
	if err := publishAsync(ctx, s, &Message{Topic: "a", QoS: 1}, o.add); err != nil {
		t.Fatal(err)
	}
	if lost := waitEvent[ConnectionLost](t, &j, 1); !errors.Is(lost[0].Err, link.ErrNoPingresp) {
		t.Fatal(lost[0].Err)
	}
	proxy.BlackHole(mqtttest.ToClient, false)
	if err := o.wait(t, 1)[0]; err != nil {
		t.Fatal(err)
	}
}
