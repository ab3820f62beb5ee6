package mqtt_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// gapSpy records gaps.
type gapSpy struct {
	mu   sync.Mutex
	seen []event.GapInfo
}

func (s *gapSpy) OnGap(i event.GapInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, i)
}

func (s *gapSpy) gaps() []event.GapInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// sequenced returns the options of each format that can carry numbers.
func sequenced() map[string][]broker.Option {
	return map[string][]broker.Option{
		"5":        {mqttbroker.WithProtocol("5")},
		"5 events": {mqttbroker.WithProtocol("5"), mqttbroker.WithCloudEvents("/s")},
		"3.1.1":    {mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithCloudEvents("/s")},
	}
}

// A missing message is detected when the next one arrives, also after the publisher has
// started anew.
func TestGapIsReported(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	for name, opts := range sequenced() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spy := new(gapSpy)
			s, out := logged(t, url, append(opts, mqttbroker.WithHooks(spy))...)
			if err := s.Connect(); err != nil {
				t.Fatal(err)
			}
			topic := "gap/" + name
			got := subscribe(t, s, topic)
			shared := new(gapSpy)
			member := connected(t, url, append(opts, mqttbroker.WithHooks(shared))...)
			subscribe(t, member, topic, broker.WithSubscribeQueueName("g"))
			proxy := mqtttest.NewProxy(t, url)
			p := connected(t, proxy.URL(), append(opts, mqttbroker.WithSequence(true), mqttbroker.WithClientId("gap-"+name))...)
			send := func(n int, opts ...broker.PublishOption) {
				t.Helper()
				for i := range n {
					publish(t, p, topic, fmt.Sprint(i), opts...)
				}
			}
			send(3)
			proxy.Drop(mqtttest.ToBroker, mqtttest.TypePublish, 2)
			send(2, mqttbroker.WithPublishQos(0)) // nobody detects their loss
			send(1)
			mqtttest.Eventually(t, patience, func() bool { return len(spy.gaps()) == 1 })
			g := spy.gaps()[0]
			if g.Topic != topic || g.Missing != 2 || g.Got != 6 || g.Expected != 4 || len(g.Source) < 20 {
				t.Errorf("got %+v", g)
			}
			if err := p.Disconnect(); err != nil {
				t.Fatal(err)
			}
			if err := p.Connect(); err != nil {
				t.Fatal(err)
			}
			send(3)
			for range 7 {
				receive(t, got)
			}
			if n := s.Health().Missing; n != 2 || len(spy.gaps()) != 1 || out.count("messages are missing") != 1 {
				t.Errorf("%d missing, gaps %+v", n, spy.gaps())
			}
			if len(shared.gaps()) > 0 || member.Health().Missing != 0 {
				t.Errorf("a member of a group noticed %+v", shared.gaps())
			}
		})
	}
}

// Retries, redeliveries and concurrent publishers do not count as gaps.
func TestNoGap(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	for name, opts := range sequenced() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spy := new(gapSpy)
			proxy := mqtttest.NewProxy(t, url)
			id := mqttbroker.WithClientId("nogap-" + name)
			b := connected(t, proxy.URL(), append(opts, id, mqttbroker.WithSequence(true), mqttbroker.WithHooks(spy))...)
			topic := "nogap/" + name
			got := subscribe(t, b, topic)
			const writers, each = 8, 30
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						if w == 0 && i%10 == 5 {
							proxy.Cut()
						}
						if err := b.Publish(within(t, patience), topic, broker.NewMessage("x")); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			for range writers * each {
				receive(t, got)
			}
			if n := b.Health().Missing; n != 0 {
				t.Errorf("missing %d, gaps %+v", n, spy.gaps())
			}
		})
	}
}

func TestSequenceTakesItsHeaders(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithSequence(true))
	for _, key := range []string{"sequence", "SequenceSource"} {
		err := b.Publish(t.Context(), "a", broker.NewMessage("x", broker.WithHeader(key, "1")))
		wantReason(t, err, event.ReasonBadRequest, 400)
		p := publisher(t, url, "5", mqttbroker.WithSequence(true))
		err = p.Publish(t.Context(), "a", []byte("x"), event.Header(key, "1"))
		wantReason(t, err, event.ReasonBadRequest, 400)
	}
	// Without the option the numbers are ordinary headers.
	publish(t, connected(t, url, mqttbroker.WithProtocol("5")), "a", "x", mqttbroker.WithCallOptions(event.Header("sequence", "1")))
}

// MQTT 3.1.1 cannot carry numbers: that is logged once, never silent.
func TestSequenceWithoutPlace(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithSequence(true))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		publish(t, b, "a", "x")
	}
	if n := out.count("messages are not numbered"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	if out.count("headers are not sent") > 0 || b.Health().HeadersLost > 0 {
		t.Error("a number counts as a lost header")
	}
}

// The settings of the configuration have the same effect as the options.
func TestPublisherSettings(t *testing.T) {
	t.Parallel()
	url, got := publishFails(t, 0x97, 0x97, 0x97)
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithPublisherConfig(&v1.Publisher{
		Sequence: true,
		Retry:    &v1.Retry{MaxAttempts: 2, MinBackoff: durationpb.New(time.Millisecond), MaxBackoff: durationpb.New(2 * time.Millisecond)},
	}))
	wantReason(t, b.Publish(t.Context(), "a", broker.NewMessage("x")), event.ReasonQuota, 429)
	first := receive(t, got)
	if again := receive(t, got); again != first || !strings.Contains(first, "sequencesource") {
		t.Errorf("first %q, then %q", first, again)
	}
	if len(got) > 0 {
		t.Error("more than two attempts")
	}
	bad := open(t, url, mqttbroker.WithPublisherConfig(&v1.Publisher{Retry: &v1.Retry{MinBackoff: durationpb.New(-1)}}))
	wantReason(t, bad.Init(), event.ReasonBadRequest, 400)
}
