package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// page is a hook that looks at messages while it is open.
type page struct {
	opened atomic.Bool
	notes
}

func (p *page) WantsPayloads() bool { return p.opened.Load() }

func (p *page) OnArrival(i event.ArrivalInfo) {
	m := &i.Message
	p.note("arrived %s %q %s %s retained %t headers %d id %t attempt %d", m.Topic, i.Filter, m.Payload, i.Topic, m.Retain, len(m.Headers), i.ID != "", i.Attempt)
}

func (p *page) OnPublish(i event.PublishInfo) {
	if i.Message == nil {
		p.note("published %s unseen", i.Topic)
		return
	}
	p.note("published %s %s id %t", i.Message.Topic, i.Message.Payload, i.ID != "")
}

// arrivals is a hook that always looks, and does as a message says.
type arrivals struct{ notes }

func (a *arrivals) OnArrival(i event.ArrivalInfo) {
	a.note("arrived %s", i.Topic)
	switch i.Topic {
	case "in/panic":
		panic("hook")
	case "in/exit":
		runtime.Goexit()
	}
}

// An open page sees each message that arrives once, before its first attempt, and each publish
// with its payload. A closed one sees neither.
func TestArrivals(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		p, all := new(page), new(arrivals)
		b := open(t, server.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("page"), mqttbroker.WithHooks(p, all))
		five := protocol == "5"
		headers := 0
		if five {
			headers = 2 // and the id
		}
		seen := func(topic, payload string) string {
			return fmt.Sprintf("arrived %s \"in/+\" %q %s retained false headers %d id %t attempt 0", topic, payload, topic, headers, five)
		}
		handled := make(chan string, 10)
		late := make(chan bool, 10)
		failed := false
		_, err := b.Subscribe("in/+", func(_ context.Context, e broker.Event) error {
			late <- p.opened.Load() && !p.saw(seen(e.Topic(), "x"))
			if e.Topic() == "in/twice" && !failed {
				failed = true
				return errors.New("again")
			}
			handled <- e.Topic()
			return nil
		}, nil, broker.WithSubscribeRetry(1, time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		send := func(topic string) {
			t.Helper()
			m := broker.NewMessage("x", broker.WithHeaders(broker.Headers{"k": "v"}))
			if err := b.Publish(within(t, patience), topic, m); err != nil {
				t.Fatal(err)
			}
		}
		send("in/closed")
		receive(t, handled)
		p.opened.Store(true)
		for _, topic := range []string{"in/twice", "in/panic", "in/exit"} {
			send(topic)
			if got := receive(t, handled); got != topic {
				t.Errorf("handled %s", got)
			}
		}
		p.opened.Store(false)
		send("in/closed")
		receive(t, handled)
		for range 5 {
			if receive(t, late) {
				t.Error("an attempt began before the hook was called")
			}
		}
		var want []string
		for _, topic := range []string{"in/twice", "in/panic", "in/exit"} {
			want = append(want, seen(topic, "x"), fmt.Sprintf("published %s \"x\" id true", topic))
		}
		want = append(want, "published in/closed unseen", "published in/closed unseen")
		p.is(t, want)
		all.is(t, []string{"arrived in/closed", "arrived in/closed", "arrived in/exit", "arrived in/panic", "arrived in/twice"})
	})
}

// is fails the test unless the hook saw exactly this, in any order.
func (s *notes) is(t *testing.T, want []string) {
	t.Helper()
	slices.Sort(want)
	mqtttest.Eventually(t, patience, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if got := slices.Sorted(slices.Values(s.seen)); !slices.Equal(got, want) {
			return fmt.Errorf("saw %q, want %q", got, want)
		}
		return nil
	})
}

// A message that no subscription matches is seen without a filter, also one that is dropped at
// once.
func TestUnmatchedArrivals(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		leave(t, server, "page", protocol, []string{"gone"}, 1, "gone")
		p := new(page)
		p.opened.Store(true)
		b := open(t, server.URL(), mqttbroker.WithClientId("page"), mqttbroker.WithProtocol(protocol), mqttbroker.WithHooks(p))
		subscribe(t, b, "other")
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		mqtttest.Eventually(t, patience, func() bool {
			return p.saw(fmt.Sprintf("arrived gone \"\" %q gone retained false headers %d id %t attempt 0", "0", map[string]int{"5": 1}[protocol], protocol == "5"))
		})
	})
}

// A hook sees what was published although the caller uses the memory again.
func TestPayloadOfAnAsynchronousPublish(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	proxy := mqtttest.NewProxy(t, server.URL())
	p := new(page)
	p.opened.Store(true)
	pub := publisher(t, proxy.URL(), "5", mqttbroker.WithHooks(p))
	proxy.Delay(mqtttest.ToClient, 100*time.Millisecond)
	var wg sync.WaitGroup
	buffer := []byte("first")
	wg.Add(1)
	if err := pub.PublishAsync(within(t, patience), "a", buffer, func(error) { wg.Done() }); err != nil {
		t.Fatal(err)
	}
	copy(buffer, "other")
	wg.Wait()
	p.is(t, []string{"published a first id false"})
}
