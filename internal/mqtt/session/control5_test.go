package session

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func asCode(t testing.TB, err error, packet string, code byte, detail string) {
	t.Helper()
	var c *CodeError
	if !errors.As(err, &c) || c.Packet != packet || c.Code != code || c.Detail != detail {
		t.Fatalf("got %v, want %s 0x%02X %q", err, packet, code, detail)
	}
}

func TestConnectPacketOfMQTT5(t *testing.T) {
	t.Parallel()
	full := &Message{
		Topic: "will", Payload: []byte("gone"), QoS: 2, Retain: true,
		Properties: &Properties{User: []UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}},
	}
	cases := map[string]struct {
		set   option
		check func(c *packets.Connect) bool
	}{
		"defaults": {func(*Config) {}, func(c *packets.Connect) bool {
			p := c.Properties
			return c.ProtocolVersion == 5 && !c.CleanStart && *p.SessionExpiryInterval == 86_400 && c.KeepAlive == 30 &&
				*p.ReceiveMaximum == DefaultReceiveMaximum && p.MaximumPacketSize == nil &&
				(p.RequestProblemInfo == nil || *p.RequestProblemInfo == 1) && p.TopicAliasMaximum == nil &&
				!c.UsernameFlag && !c.PasswordFlag && !c.WillFlag
		}},
		"clean": {clean, func(c *packets.Connect) bool {
			return c.CleanStart && *c.Properties.SessionExpiryInterval == 0
		}},
		"expiry rounded up": {func(c *Config) { c.SessionExpiry = time.Millisecond }, func(c *packets.Connect) bool {
			return *c.Properties.SessionExpiryInterval == 1
		}},
		"for ever": {func(c *Config) { c.SessionExpiry = math.MaxInt64 }, func(c *packets.Connect) bool {
			return *c.Properties.SessionExpiryInterval == math.MaxUint32
		}},
		"credentials": {func(c *Config) {
			c.Credentials = func(context.Context) (string, string, error) { return "me", "secret", nil }
		}, func(c *packets.Connect) bool {
			return c.UsernameFlag && c.Username == "me" && c.PasswordFlag && string(c.Password) == "secret"
		}},
		"password alone": {func(c *Config) {
			c.Credentials = func(context.Context) (string, string, error) { return "", "token", nil }
		}, func(c *packets.Connect) bool {
			return !c.UsernameFlag && c.PasswordFlag && string(c.Password) == "token"
		}},
		"plain will": {func(c *Config) { c.Will = &Message{Topic: "will"} }, func(c *packets.Connect) bool {
			return c.WillFlag && c.WillTopic == "will" && len(c.WillMessage) == 0 && c.WillQOS == 0 && !c.WillRetain &&
				c.WillProperties.WillDelayInterval == nil && c.WillProperties.MessageExpiry == nil
		}},
		"full will": {func(c *Config) { c.Will = full }, func(c *packets.Connect) bool {
			p := c.WillProperties
			return c.WillQOS == 2 && c.WillRetain && string(c.WillMessage) == "gone" &&
				len(p.User) == 2 && p.User[1].Value == "2"
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan *packets.Connect, 1)
			url := scripted5(t, welcome(), func(p *peer5) { got <- p.connect; serveAll5(p) })
			start(t, url, speaking(Version5), tc.set)
			if c := <-got; !tc.check(c) {
				t.Fatalf("CONNECT %+v\nproperties %+v\nwill %+v", c, c.Properties, c.WillProperties)
			}
		})
	}
}

func TestConnackReasonsOfMQTT5(t *testing.T) {
	t.Parallel()
	for code, reason := range map[byte]event.Reason{
		0x80: event.ReasonRefused, 0x84: event.ReasonUnsupported, 0x85: event.ReasonBadRequest, 0x86: event.ReasonNotAuthorized,
		0x87: event.ReasonNotAuthorized, 0x88: event.ReasonNotConnected, 0x89: event.ReasonNotConnected, 0x8A: event.ReasonNotAuthorized,
		0x8C: event.ReasonNotAuthorized, 0x95: event.ReasonTooLarge, 0x97: event.ReasonQuota, 0x9A: event.ReasonUnsupported,
		0x9B: event.ReasonUnsupported, 0x9F: event.ReasonQuota,
	} {
		url := scripted5(t, func(int) []byte { return connack5(code, reason5("because")[1:]...) }, func(*peer5) {})
		s := open(t, url, speaking(Version5), func(c *Config) { c.NoReconnect = true })
		s.Start()
		asCode(t, asError(t, s.WaitReady(within(t, patience)), reason), "CONNACK", code, "because")
	}
}

func TestSubackReasonsOfMQTT5(t *testing.T) {
	t.Parallel()
	for code, reason := range map[byte]event.Reason{
		0x80: event.ReasonRefused, 0x83: event.ReasonRefused, 0x87: event.ReasonNotAuthorized, 0x8F: event.ReasonBadTopic,
		0x97: event.ReasonQuota, 0x9E: event.ReasonUnsupported, 0xA1: event.ReasonUnsupported, 0xA2: event.ReasonUnsupported,
	} {
		url := scripted5(t, welcome(), func(p *peer5) {
			p.suback = func(*packets.Subscribe) []byte { return append(reason5("because"), code) }
			serveAll5(p)
		})
		s := start(t, url, speaking(Version5))
		asCode(t, asError(t, s.Subscribe(within(t, patience), Filter{Filter: "a"}), reason), "SUBACK", code, "because")
	}
}

func TestFiltersThatConnackRulesOutAreNotSent(t *testing.T) {
	t.Parallel()
	const noWildcard, noShared, noIDs = 0x28, 0x2A, 0x29
	asked := make(chan *packets.Subscribe, 10)
	url := scripted5(t, welcome(noWildcard, 0, noShared, 0, noIDs, 0), func(p *peer5) {
		p.suback = func(s *packets.Subscribe) []byte { asked <- s; return []byte{0, 1} }
		serveAll5(p)
	})
	s := start(t, url, speaking(Version5))
	for filter, code := range map[string]byte{"a/#": 0xA2, "a/+": 0xA2, "$share/g/a": 0x9E, "$share/g/+": 0xA2} {
		err := s.Subscribe(within(t, patience), Filter{Filter: filter})
		asCode(t, asError(t, err, event.ReasonUnsupported), "SUBACK", code, "")
	}
	if err := s.Subscribe(within(t, patience), Filter{Filter: "a"}); err != nil {
		t.Fatal(err)
	}
	if got := <-asked; got.Subscriptions[0].Topic != "a" || got.Properties.SubscriptionIdentifier != nil || len(asked) > 0 {
		t.Fatalf("sent %+v and %d more", got, len(asked))
	}
}

func TestSubscribePacketOfMQTT5(t *testing.T) {
	t.Parallel()
	asked := make(chan *packets.Subscribe, 1)
	url := scripted5(t, welcome(), func(p *peer5) {
		p.suback = func(s *packets.Subscribe) []byte { asked <- s; return []byte{0, 2} }
		serveAll5(p)
	})
	s := start(t, url, speaking(Version5))
	f := Filter{Filter: "a/+", QoS: 2, RetainHandling: 1, NoLocal: true}
	if err := s.Subscribe(within(t, patience), f); err != nil {
		t.Fatal(err)
	}
	got := <-asked
	o := got.Subscriptions[0]
	if len(got.Subscriptions) != 1 || o.Topic != "a/+" || o.QoS != 2 || o.RetainHandling != 1 || !o.NoLocal {
		t.Fatalf("options %+v", got.Subscriptions)
	}
	if id := got.Properties.SubscriptionIdentifier; id == nil || *id != int(FilterID("a/+")) {
		t.Fatalf("identifier %v", id)
	}
}

// Each filter has its own SUBSCRIBE, and none waits for the answer to another.
func TestManyFiltersAreSubscribedToAtOnce(t *testing.T) {
	t.Parallel()
	const n = 50
	url := scripted5(t, welcome(), func(p *peer5) {
		var open [][]byte
		for range n { // answers nothing before all have arrived
			sub, ok := read5(p.Conn).(*packets.Subscribe)
			if !ok {
				return
			}
			open = append(open, mqtttest.SubackPacket(5, sub.PacketID, sub.Subscriptions[0].QoS))
		}
		p.send(open...)
		serveAll5(p)
	})
	s := open(t, url, speaking(Version5))
	for i := range n {
		want(t, s, "many/"+strings.Repeat("x", i+1))
	}
	s.Start()
	ready(t, s)
}

func TestRefusedUnsubscribeIsAnError(t *testing.T) {
	t.Parallel()
	url := scripted5(t, welcome(), func(p *peer5) {
		p.unsub = func(*packets.Unsubscribe) []byte { return append(reason5("because"), 0x87) }
		serveAll5(p)
	})
	var j journal
	s := open(t, url, speaking(Version5), to(&j))
	want(t, s, "a", "b")
	s.Start()
	ready(t, s)
	err := s.Unsubscribe(within(t, patience), "a")
	asCode(t, asError(t, err, event.ReasonNotAuthorized), "UNSUBACK", 0x87, "because")
	if err := s.Subscribe(within(t, patience), Filter{Filter: "c"}); err != nil {
		t.Fatal(err)
	}
	if n := len(eventsOf[Connected](&j)); n != 1 {
		t.Fatalf("%d connections", n)
	}
}

func TestPublishReasonsOfMQTT5(t *testing.T) {
	t.Parallel()
	cases := []struct {
		qos    byte
		answer mqtttest.PacketType
		code   byte
		reason event.Reason // "" means success
	}{
		{1, mqtttest.TypePuback, 0x00, ""},
		{1, mqtttest.TypePuback, 0x10, ""}, // no matching subscribers
		{1, mqtttest.TypePuback, 0x80, event.ReasonRefused},
		{1, mqtttest.TypePuback, 0x87, event.ReasonNotAuthorized},
		{1, mqtttest.TypePuback, 0x90, event.ReasonBadTopic},
		{1, mqtttest.TypePuback, 0x97, event.ReasonQuota},
		{1, mqtttest.TypePuback, 0x99, event.ReasonRefused},
		{2, mqtttest.TypePubrec, 0x10, ""},
		{2, mqtttest.TypePubrec, 0x87, event.ReasonNotAuthorized},
		{2, mqtttest.TypePubrec, 0x97, event.ReasonQuota},
	}
	for _, tc := range cases {
		url := scripted5(t, welcome(), func(p *peer5) {
			for {
				switch got := p.next().(type) {
				case *packets.Publish:
					p.send(ack5(tc.answer, got.PacketID, tc.code, "because"))
				case *packets.Pubrel:
					p.send(ack(mqtttest.TypePubcomp, got.PacketID))
				case nil, *packets.Disconnect:
					return
				}
			}
		})
		s := start(t, url, speaking(Version5))
		for range 3 { // the quota is returned
			err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: tc.qos})
			if tc.reason == "" {
				if err != nil {
					t.Fatalf("%v 0x%02X: %v", tc.answer, tc.code, err)
				}
				continue
			}
			e := asError(t, err, tc.reason)
			asCode(t, e, tc.answer.String(), tc.code, "because")
			if e.MayHaveBeenSent {
				t.Fatalf("%v 0x%02X: a refused message was not sent on", tc.answer, tc.code)
			}
		}
		if n := s.InFlight(); n != 0 {
			t.Fatalf("%d in flight", n)
		}
	}
}

func TestDisconnectOfTheBroker(t *testing.T) {
	t.Parallel()
	disconnect := func(code byte) []byte { return mqtttest.PacketOf(0xE0, []byte{code}, reason5("because")) }
	t.Run("taken over at once", func(t *testing.T) {
		t.Parallel()
		for range 20 { // the reason must win every race with the end of the socket
			var j journal
			url := scripted5(t, welcome(), func(p *peer5) { p.send(disconnect(0x8E)) })
			s := open(t, url, speaking(Version5), to(&j), reconnect(time.Millisecond, time.Hour))
			s.Start()
			waitEvent[TakenOver](t, &j, 1)
			if n := len(eventsOf[Connected](&j)); n != 1 {
				t.Fatalf("%d connections before the takeover was seen", n)
			}
			asCode(t, asError(t, s.Status().LastError, event.ReasonTakenOver), "DISCONNECT", 0x8E, "because")
			s.Close(within(t, patience))
		}
	})
	for code, reason := range map[byte]event.Reason{
		0x8B: event.ReasonRefused, 0x8D: event.ReasonRefused, 0x93: event.ReasonQuota, 0x95: event.ReasonTooLarge, 0x98: event.ReasonRefused, 0x87: event.ReasonNotAuthorized,
	} {
		t.Run(reasonText(code), func(t *testing.T) {
			t.Parallel()
			var j journal
			url := scripted5(t, welcome(), func(p *peer5) {
				if p.n <= 4 { // more than are taken for a takeover if the broker just closes
					p.send(disconnect(code))
					return
				}
				serveAll5(p)
			})
			s := start(t, url, speaking(Version5), to(&j))
			lost := waitEvent[ConnectionLost](t, &j, 4)
			asCode(t, asError(t, lost[0].Err, reason), "DISCONNECT", code, "because")
			waitEvent[Connected](t, &j, 5)
			if err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: 1}); err != nil {
				t.Fatal(err)
			}
			if n := len(eventsOf[TakenOver](&j)); n != 0 {
				t.Fatal("taken for a takeover")
			}
		})
	}
}

func reasonText(code byte) string { return codeError(14, code).Name }

func TestCloseSaysDisconnectOnMQTT5(t *testing.T) {
	t.Parallel()
	got := make(chan packets.Packet, 1)
	url := scripted5(t, welcome(), func(p *peer5) { got <- p.next() })
	s := start(t, url, speaking(Version5))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { s.Close(within(t, patience)) })
	}
	wg.Wait()
	d, ok := (<-got).(*packets.Disconnect)
	if !ok || d.ReasonCode != 0 || d.Properties.SessionExpiryInterval != nil {
		t.Fatalf("got %v", d)
	}
}

// The library panics if a CONNACK names an authentication method and there is
// no handler. We never offer one.
func TestAuthenticationThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	method := append([]byte{0x15}, mqtttest.StringField("SCRAM")...)
	auth := mqtttest.PacketOf(0xF0, []byte{0x18, byte(len(method))}, method)
	t.Run("in CONNACK", func(t *testing.T) {
		t.Parallel()
		start(t, scripted5(t, welcome(method...), serveAll5), speaking(Version5))
	})
	t.Run("before CONNACK", func(t *testing.T) {
		t.Parallel()
		s := open(t, scripted5(t, func(int) []byte { return auth }, serveAll5), speaking(Version5))
		s.Start()
		if err := s.WaitAttempt(within(t, patience)); err == nil {
			t.Fatal("connected")
		}
	})
	t.Run("later", func(t *testing.T) {
		t.Parallel()
		var j journal
		url := scripted5(t, welcome(), func(p *peer5) { p.send(auth); serveAll5(p) })
		open(t, url, speaking(Version5), to(&j)).Start()
		if lost := waitEvent[ConnectionLost](t, &j, 1); !errors.Is(lost[0].Err, errAuth) {
			t.Fatal(lost[0].Err)
		}
	})
}

func TestTopicAliasIsNotAllowed(t *testing.T) {
	t.Parallel()
	var j journal
	sink := &box{done: true}
	url := scripted5(t, welcome(), func(p *peer5) {
		p.send(mqtttest.PacketOf(0x32, mqtttest.StringField(""), []byte{0, 1, 3, 0x23, 0, 1}, []byte("x")))
		serveAll5(p)
	})
	open(t, url, speaking(Version5), to(&j), into(sink)).Start()
	if lost := waitEvent[ConnectionLost](t, &j, 1); !errors.Is(lost[0].Err, errAlias) || len(sink.all()) > 0 {
		t.Fatalf("%v, %d delivered", lost[0].Err, len(sink.all()))
	}
}

func TestKeepAliveOfTheServer(t *testing.T) {
	t.Parallel()
	const serverKeepAlive = 0x13
	t.Run("replaces ours, and a lost PINGRESP is noticed", func(t *testing.T) {
		t.Parallel()
		var j journal
		url := scripted5(t, welcome(serverKeepAlive, 0, 1), func(p *peer5) {
			for got := read5(p.Conn); got != nil; got = read5(p.Conn) {
				if _, ping := got.(*packets.Pingreq); ping && p.n > 1 {
					p.send([]byte{0xD0, 0})
				}
			}
		})
		open(t, url, speaking(Version5), to(&j), func(c *Config) {
			c.KeepAlive, c.PingTimeout = time.Hour, 50*time.Millisecond
		}).Start()
		lost := waitEvent[ConnectionLost](t, &j, 1)
		if !errors.Is(lost[0].Err, link.ErrNoPingresp) {
			t.Fatal(lost[0].Err)
		}
		waitEvent[Connected](t, &j, 2)
	})
	t.Run("answered pings keep the connection", func(t *testing.T) {
		t.Parallel()
		pings := make(chan struct{}, 10)
		url := scripted5(t, welcome(serverKeepAlive, 0, 1), func(p *peer5) {
			for got := read5(p.Conn); got != nil; got = read5(p.Conn) {
				if _, ping := got.(*packets.Pingreq); ping {
					p.send([]byte{0xD0, 0}, []byte{0xD0, 0}) // one too many does no harm
					pings <- struct{}{}
				}
			}
		})
		var j journal
		start(t, url, speaking(Version5), to(&j))
		for range 2 {
			select {
			case <-pings:
			case <-time.After(patience):
				t.Fatal("no PINGREQ")
			}
		}
		if n := len(eventsOf[ConnectionLost](&j)); n > 0 {
			t.Fatal("connection lost")
		}
	})
}
