package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func speaking(p Protocol) option {
	return func(c *Config) { c.Negotiation = NewNegotiation(p) }
}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	const v4, v5 = wire.V311, wire.V5
	closed := fmt.Errorf("no CONNACK: %w", io.EOF)
	code := func(c byte) error { return &CodeError{Packet: "CONNACK", Code: c} }
	type step struct {
		err       error // nil means success
		undecided bool
		next      wire.Version
	}
	cases := map[string]struct {
		wanted Protocol
		steps  []step
	}{
		"connects at 5":            {Auto, []step{{nil, false, v5}}},
		"named by 3.1.1":           {Auto, []step{{code(0x01), true, v4}, {nil, false, v4}}},
		"named by 5":               {Auto, []step{{code(0x84), true, v4}, {nil, false, v4}}},
		"two closes":               {Auto, []step{{closed, true, v5}, {closed, true, v4}, {nil, false, v4}}},
		"trial fails":              {Auto, []step{{closed, true, v5}, {closed, true, v4}, {closed, false, v5}, {closed, true, v5}}},
		"trial refused":            {Auto, []step{{code(0x01), true, v4}, {code(0x05), false, v5}}},
		"busy is an answer":        {Auto, []step{{closed, true, v5}, {code(0x89), false, v5}, {closed, true, v5}}},
		"timeouts say nothing":     {Auto, []step{{context.DeadlineExceeded, false, v5}, {context.DeadlineExceeded, false, v5}, {context.DeadlineExceeded, false, v5}}},
		"no downgrade after 5":     {Auto, []step{{nil, false, v5}, {closed, false, v5}, {closed, false, v5}, {code(0x84), false, v5}}},
		"no upgrade after 3.1.1":   {Auto, []step{{code(0x01), true, v4}, {nil, false, v4}, {closed, false, v4}}},
		"forced 5 is not left":     {Version5, []step{{code(0x01), false, v5}, {closed, false, v5}, {closed, false, v5}}},
		"forced 3.1.1 is not left": {Version31, []step{{code(0x01), false, v4}, {closed, false, v4}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := NewNegotiation(tc.wanted)
			for i, s := range tc.steps {
				undecided := false
				if s.err == nil {
					if !n.connected(n.version()) {
						t.Fatalf("step %d: the version was not settled", i)
					}
				} else {
					undecided = n.failed(n.version(), s.err)
				}
				if undecided != s.undecided || n.version() != s.next {
					t.Fatalf("step %d: undecided %t and next %v, want %t and %v", i, undecided, n.version(), s.undecided, s.next)
				}
			}
		})
	}
}

func TestNegotiationSettlesOnce(t *testing.T) {
	t.Parallel()
	n := NewNegotiation(Auto)
	if !n.connected(wire.V5) || n.connected(wire.V311) {
		t.Fatal("a 3.1.1 success after one of 5 counted")
	}
	if !n.failed(wire.V311, errVersion) || n.version() != wire.V5 {
		t.Fatal("the slower one does not go on with the settled version")
	}
}

// versions is a broker that records the protocol level of each CONNECT and
// answers with the result of answer; nil closes the connection.
type versions struct {
	mu   sync.Mutex
	list []byte
}

func (v *versions) seen() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.list)
}

func (v *versions) start(t testing.TB, answer func(n int, level byte) []byte) string {
	t.Helper()
	return mqtttest.ScriptedBroker(t, func(c net.Conn) {
		p, err := mqtttest.ReadPacket(c)
		if err != nil || len(p.Body) < 7 {
			return
		}
		v.mu.Lock()
		v.list = append(v.list, p.Body[6])
		n := len(v.list)
		v.mu.Unlock()
		b := answer(n, p.Body[6])
		if b == nil {
			return
		}
		_, _ = c.Write(b)
		if b[3] == 0 {
			serveAll(&peer{Conn: c})
		}
	}).URL()
}

// only311 answers an MQTT 5 CONNECT like a broker that supports only 3.1.1.
func only311(refusal []byte) func(int, byte) []byte {
	return func(_ int, level byte) []byte {
		if level == 4 {
			return mqtttest.ConnackPacket(4, false, 0)
		}
		return refusal
	}
}

func TestAutoFallsBack(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		refusal []byte
		levels  []byte
	}{
		"return code in two bytes": {mqtttest.ConnackPacket(4, false, 0x01), []byte{5, 4}},
		"return code as 5 has it":  {mqtttest.ConnackPacket(5, false, 0x01), []byte{5, 4}},
		"reason code":              {mqtttest.ConnackPacket(5, false, 0x84), []byte{5, 4}},
		"just closes":              {nil, []byte{5, 5, 4}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v versions
			var j journal
			// All of it is one attempt, even with NoReconnect.
			s := open(t, v.start(t, only311(tc.refusal)), speaking(Auto), to(&j), func(c *Config) { c.NoReconnect = true })
			s.Start()
			if err := s.WaitAttempt(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			if got := v.seen(); !slices.Equal(got, tc.levels) {
				t.Fatalf("levels %v, want %v", got, tc.levels)
			}
			if e := eventsOf[ConnectFailed](&j); len(e) > 0 {
				t.Fatalf("reported as a failure: %v", e[0].Err)
			}
			if err := s.Publish(within(t, patience), &Message{Topic: "a", QoS: 2}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTrialOfTheOlderVersionThatFailsGoesBackTo5(t *testing.T) {
	t.Parallel()
	var v versions
	url := v.start(t, func(n int, level byte) []byte {
		if n <= 4 {
			return nil // the broker is down
		}
		return mqtttest.ConnackPacket(level, false, 0)
	})
	start(t, url, speaking(Auto))
	if got, want := v.seen(), []byte{5, 5, 4, 5, 5}; !slices.Equal(got, want) {
		t.Fatalf("levels %v, want %v", got, want)
	}
}

func TestNoDowngradeOnceConnectedAt5(t *testing.T) {
	t.Parallel()
	var v versions
	var first net.Conn
	got := make(chan struct{})
	url := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		p, err := mqtttest.ReadPacket(c)
		if err != nil {
			return
		}
		v.mu.Lock()
		v.list = append(v.list, p.Body[6])
		n := len(v.list)
		v.mu.Unlock()
		switch {
		case n == 1:
			first = c
			_, _ = c.Write(mqtttest.ConnackPacket(5, false, 0))
			<-got
			(&peer{Conn: c}).reset()
		case n == 5:
			_, _ = c.Write(mqtttest.ConnackPacket(5, false, 0x84)) // a proxy that sends invalid data
		case n > 8:
			_, _ = c.Write(mqtttest.ConnackPacket(5, false, 0))
			serveAll(&peer{Conn: c})
		}
	}).URL()
	var j journal
	start(t, url, speaking(Auto), to(&j), reconnect(time.Millisecond, 2*time.Millisecond))
	close(got)
	waitEvent[Connected](t, &j, 2)
	if got := v.seen(); slices.Contains(got, 4) || first == nil {
		t.Fatalf("levels %v", got)
	}
}

func TestForced5ReportsTheVersion(t *testing.T) {
	t.Parallel()
	var v versions
	s := open(t, v.start(t, only311(mqtttest.ConnackPacket(4, false, 0x01))), speaking(Version5))
	s.Start()
	e := asError(t, s.WaitAttempt(within(t, patience)), event.ReasonUnsupported)
	var code *CodeError
	if !errors.As(e, &code) || code.Code != 0x01 || code.Name != "unacceptable protocol version" {
		t.Fatalf("got %v", e)
	}
}

func TestNegotiationIsSharedBySessions(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string][]byte{"refused": mqtttest.ConnackPacket(4, false, 0x01), "closed": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v versions
			url := v.start(t, only311(refusal))
			shared := NewNegotiation(Auto)
			sessions := make([]*Session, 8)
			for i := range sessions {
				sessions[i] = open(t, url, clientID(fmt.Sprint("shared-", i)), func(c *Config) { c.Negotiation = shared })
				sessions[i].Start()
			}
			for _, s := range sessions {
				ready(t, s)
			}
			start(t, url, clientID("late"), func(c *Config) { c.Negotiation = shared })
			if got := v.seen(); got[len(got)-1] != 4 || shared.version() != wire.V311 {
				t.Fatalf("levels %v: the last one began anew", got)
			}
		})
	}
}
