package session

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	brokers "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// engine.md D13: a filter that is granted at a lower QoS works, but not as
// requested: it is reported, and the session is not ready.
func TestGrantedLessIsToldAndNotReady(t *testing.T) {
	t.Parallel()
	for _, v := range []Protocol{Version31, Version5} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t, brokers.MaxQoS(0))
			var j journal
			s := open(t, b.URL(), to(&j), speaking(v))
			want(t, s, "less")
			s.Start()
			e := waitEvent[SubscriptionLowered](t, &j, 1)
			if e[0] != (SubscriptionLowered{"less", 2, 0}) {
				t.Errorf("%+v", e)
			}
			err := s.WaitAttempt(within(t, patience))
			var less *GrantedLessError
			if !errors.As(err, &less) || less.Asked != 2 || less.Granted != 0 || asError(t, err, event.ReasonUnsupported).Topic != "less" {
				t.Errorf("%v", err)
			}
			if st := s.Status(); !st.Connected || st.Ready {
				t.Errorf("%+v", st)
			}
			if n, granted, lower := s.Filters(); n != 1 || granted != 1 || lower != 1 {
				t.Errorf("%d filters, %d granted, %d of them lower", n, granted, lower)
			}
			// A filter that is removed is not waited for, and one that is
			// granted as requested makes the session ready.
			if err := s.Unsubscribe(within(t, patience), "less"); err != nil {
				t.Fatal(err)
			}
			if err := s.Subscribe(within(t, patience), Filter{Filter: "fits"}); err != nil {
				t.Fatal(err)
			}
			ready(t, s)
		})
	}
}

// engine.md D16: a change is pending when the session is lost and is refused on
// the new one. The filter that was granted before is then requested again.
func TestRefusedChangeAfterALostSessionAsksAgain(t *testing.T) {
	t.Parallel()
	var d diary
	s := open(t, scripted(t, false, func(p *peer) {
		for {
			packet, err := mqtttest.ReadPacket(p)
			if err != nil {
				return
			}
			switch packet.Type() {
			case mqtttest.TypeSubscribe:
				level := levelsOf(packet)[0]
				d.add("%d subscribe at %d", p.n, level)
				switch {
				case level == 1:
					p.send(mqtttest.SubackPacket(4, packet.ID(), 1))
				case p.n == 1:
					p.reset() // the change is lost with the session
					return
				default:
					p.send(mqtttest.SubackPacket(4, packet.ID(), 0x80))
				}
			case mqtttest.TypeDisconnect:
				return
			}
		}
	}))
	if err := s.Want(Filter{Filter: "a", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	s.Start()
	ready(t, s)
	asError(t, s.Subscribe(within(t, patience), Filter{Filter: "a", QoS: 2}), event.ReasonRefused)
	d.wait(t, "2 subscribe at 1")
	ready(t, s)
	if n, granted, _ := s.Filters(); n != 1 || granted != 1 {
		t.Errorf("%d filters, %d granted", n, granted)
	}
}

// reports.md A7: a broker may close the connection if a SUBSCRIBE has more than
// 8 filters, at first and after each reconnect; the limit can be raised for a
// known broker. No packet waits for the answer to the previous one.
func TestFiltersOfASubscribePacketAreBounded(t *testing.T) {
	t.Parallel()
	for _, bound := range []int{0, 100} {
		t.Run(fmt.Sprint(bound), func(t *testing.T) {
			t.Parallel()
			const n = 20
			sizes, granted := make(chan int, 10*n), make(chan struct{})
			limit := max(bound, DefaultSubscribeFilters)
			url := scripted(t, false, func(p *peer) {
				var open [][]byte
				for got := 0; got < n; { // answers nothing before all have arrived
					packet, err := mqtttest.ReadPacket(p)
					if err != nil || packet.Type() != mqtttest.TypeSubscribe {
						return
					}
					list := filtersOf(packet)
					sizes <- len(list)
					if got += len(list); len(list) > limit {
						return // as AWS IoT does
					}
					open = append(open, mqtttest.SubackPacket(4, packet.ID(), slices.Repeat([]byte{1}, len(list))...))
				}
				p.send(open...)
				if p.n == 1 {
					select { // filters that are not granted when a connection ends are requested in small groups
					case <-granted:
					case <-t.Context().Done():
					}
					p.reset()
					return
				}
				serveAll(p)
			})
			var j journal
			s := open(t, url, to(&j), func(c *Config) { c.SubscribeFilters = bound })
			for i := range n {
				if err := s.Want(Filter{Filter: fmt.Sprintf("f/%d", i), QoS: 1}); err != nil {
					t.Fatal(err)
				}
			}
			s.Start()
			ready(t, s)
			close(granted)
			waitEvent[Connected](t, &j, 2)
			ready(t, s)
			total := 0
			for len(sizes) > 0 {
				size := <-sizes
				if total += size; size > limit {
					t.Errorf("%d filters in a SUBSCRIBE", size)
				}
			}
			if total != 2*n || len(eventsOf[Connected](&j)) != 2 {
				t.Errorf("%d filters on %d connections", total, len(eventsOf[Connected](&j)))
			}
		})
	}
}

// A filter that an earlier process left in the session is unsubscribed although
// this process never wanted it; a filter that is wanted is not.
func TestForgetAFilterThatWasLeft(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	first := start(t, b.URL())
	for _, f := range []string{"old", "kept"} {
		if err := first.Subscribe(within(t, patience), Filter{Filter: f, QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	first.Close(within(t, patience))
	s := open(t, b.URL())
	want(t, s, "kept")
	s.Start()
	ready(t, s)
	for _, f := range []string{"old", "kept"} {
		gone, err := s.Clear(f).Gone(within(t, patience))
		if err != nil || gone != (f == "old") {
			t.Errorf("%s gone: %t, %v", f, gone, err)
		}
	}
	if list := b.Sessions(); len(list) != 1 || !slices.Equal(list[0].Filters, []string{"kept"}) {
		t.Errorf("%+v", list)
	}
	if n, granted, _ := s.Filters(); n != 1 || granted != 1 {
		t.Errorf("%d filters, %d granted", n, granted)
	}
}

// A change brings retained messages only if a new subscriber needs them.
func TestQuietChanges(t *testing.T) {
	t.Parallel()
	for _, v := range []Protocol{Version31, Version5} {
		t.Run(fmt.Sprint(v), func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			var got box
			got.done = true
			s := start(t, b.URL(), speaking(v), into(&got))
			if err := s.Publish(t.Context(), &Message{Topic: "a", QoS: 1, Retain: true, Payload: []byte("kept")}); err != nil {
				t.Fatal(err)
			}
			ask := func(qos, retain byte) {
				t.Helper()
				asked, err := s.AskFor(Filter{Filter: "a", QoS: qos}, retain)
				if err == nil {
					err = asked.Wait(within(t, patience))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			ask(1, retainAll)
			got.wait(t, 1)
			ask(1, retainAll) // D15: a new subscriber needs them
			got.wait(t, 2)
			s.Lower(Filter{Filter: "a"})
			ask(0, retainNever)
			if err := s.Publish(t.Context(), &Message{Topic: "a", QoS: 1, Payload: []byte("fence")}); err != nil {
				t.Fatal(err)
			}
			list := got.wait(t, 3)
			level := byte(0)
			if v == Version31 {
				level = 1 // a SUBSCRIBE would have brought the retained message again
			}
			if m := list[2]; len(list) != 3 || string(m.Payload) != "fence" || m.QoS != level {
				t.Errorf("%d messages, the last %q at QoS %d", len(list), m.Payload, m.QoS)
			}
		})
	}
}
