package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// blocked returns a handler that fails until it is mended, and the options of its
// subscription. Meanwhile its messages stay unacknowledged.
type blocked struct {
	mended  atomic.Bool
	handled atomic.Int64
}

func (b *blocked) handle(context.Context, string, broker.Headers, *reading) error {
	if !b.mended.Load() {
		return errors.New("the database is away")
	}
	b.handled.Add(1)
	return nil
}

func (b *blocked) options(opts ...broker.SubscribeOption) []broker.SubscribeOption {
	return append([]broker.SubscribeOption{
		mqttbroker.WithSubscribeExhausted(event.ExhaustedBlock), mqttbroker.WithSubscribeRetryBudget(10 * time.Millisecond),
		mqttbroker.WithSubscribeMaxBackoff(20 * time.Millisecond), broker.WithSubscribeRetry(0, 10*time.Millisecond),
	}, opts...)
}

// sends publishes n messages below a prefix, each on its own topic.
func sends(t testing.TB, b broker.Broker, prefix string, n int) {
	t.Helper()
	done := make(chan error, n)
	for i := range n {
		err := b.Publish(within(t, patience), fmt.Sprintf("%s/%d", prefix, i), broker.NewMessage(reading{1}),
			broker.WithPublishAsync(func(err error) { done <- err }))
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := receive(t, done); err != nil {
			t.Fatal(err)
		}
	}
}

// sessionIn returns the health of one session.
func sessionIn(t testing.TB, h event.Health, id string) event.SessionHealth {
	t.Helper()
	for _, s := range h.Sessions {
		if s.ClientID == id {
			return s
		}
	}
	t.Fatalf("no session %q in %+v", id, h.Sessions)
	return event.SessionHealth{}
}

func reaches(n *atomic.Int64, want int) func() error {
	return func() error {
		if got := n.Load(); got != int64(want) {
			return fmt.Errorf("%d handled, want %d", got, want)
		}
		return nil
	}
}

// Unacknowledged messages of a subscription with its own session do not delay other
// subscriptions, however many there are. Without an own session, everything stops once
// the broker's window is full.
func TestOwnSessionHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const window, stuck, others = 20, 300, 1000 // in flight at the broker
	for name, own := range map[string]bool{"own session": true, "shared session": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
				var bad blocked
				var good atomic.Int64
				srv := c.server(t, mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: 64})))
				opts := bad.options()
				if own {
					opts = append(opts, mqttbroker.WithSubscribeOwnSession("slow"))
				}
				register(t, srv, "bad/+", bad.handle, opts...)
				register(t, srv, "good/+", func(context.Context, string, broker.Headers, *reading) error {
					good.Add(1)
					return nil
				})
				start(t, srv)
				data := c.broker(t)
				sends(t, data, "bad", stuck)
				sends(t, data, "good", others)
				if own {
					mqtttest.Eventually(t, patience, reaches(&good, others))
					if own := sessionIn(t, srv.Health(), "app-slow"); !srv.Health().Ready || !own.Ready || own.Filters != 1 || own.Queued+own.Running < window {
						t.Errorf("health %+v", srv.Health())
					}
				} else {
					mqtttest.Eventually(t, patience, func() bool { return srv.Health().Queued+srv.Health().Running >= window })
					if n := good.Load(); n > window {
						t.Errorf("%d handled on the session that is blocked: the test proves nothing", n)
					}
				}
				bad.mended.Store(true)
				mqtttest.Eventually(t, patience, reaches(&bad.handled, stuck))
				mqtttest.Eventually(t, patience, reaches(&good, others))
				if n := b.Dropped(); n > 0 {
					t.Errorf("the broker dropped %d messages", n)
				}
			}, testbroker.MaxInflight(window))
		})
	}
}

// Handlers of a subscription with its own session that occupy all of its workers leave
// the other subscriptions their workers.
func TestOwnSessionHasWorkersOfItsOwn(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		const workers = 4
		srv := c.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: workers})))
		release, busy := make(chan struct{}), make(chan string, 10)
		register(t, srv, "hang/+", func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
			busy <- topic
			<-release
			return nil
		}, mqttbroker.WithSubscribeOwnSession("hang"))
		got := make(chan string, 10)
		register(t, srv, "good/+", into(got))
		start(t, srv)
		defer close(release)
		data := c.broker(t)
		sends(t, data, "hang", workers)
		for range workers {
			receive(t, busy)
		}
		sends(t, data, "good", workers)
		for range workers {
			receive(t, got)
		}
	})
}

// An own session is treated like the client's: the broker keeps it while the process is
// away, and Stop closes it.
func TestOwnSessionIsKept(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		connected := func() (ids []string) {
			for _, s := range b.Sessions() {
				if s.Connected && strings.HasPrefix(s.ClientID, "app") {
					ids = append(ids, fmt.Sprint(s.ClientID, s.Filters))
				}
			}
			return ids
		}
		got := make(chan string, 100)
		data := c.broker(t)
		for round := range 3 {
			srv := c.server(t, mqttserver.WithClientId("app"))
			register(t, srv, "one/+", into(got), mqttbroker.WithSubscribeOwnSession("mine"))
			register(t, srv, "two/+", into(got), mqttbroker.WithSubscribeOwnSession("mine"))
			register(t, srv, "three/+", into(got))
			start(t, srv)
			want := []string{"app[three/+]", "app-mine[one/+ two/+]"}
			mqtttest.Eventually(t, patience, func() error {
				if ids := connected(); !slices.Equal(ids, want) {
					return fmt.Errorf("sessions %q, want %q", ids, want)
				}
				return nil
			})
			if round > 0 { // published while it was away
				for range 3 {
					receive(t, got)
				}
			}
			if err := srv.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			if ids := connected(); len(ids) > 0 {
				t.Fatalf("%q are still connected after Stop", ids)
			}
			for _, prefix := range []string{"one", "two", "three"} {
				sends(t, data, prefix, 1)
			}
		}
	})
}

// Subscribe and Unsubscribe while running, and Stop and Start, affect own sessions in
// the same way as the shared one.
func TestOwnSessionLifecycle(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		srv := c.server(t, mqttserver.WithClientId("app"))
		got := make(chan string, 100)
		register(t, srv, "main", into(got))
		start(t, srv)
		late, err := srv.Subscribe("late/+", func(_ context.Context, e broker.Event) error {
			got <- e.Topic()
			return nil
		}, nil, mqttbroker.WithSubscribeOwnSession("late"))
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.WaitReady(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		data := c.broker(t)
		for range 2 {
			sends(t, data, "late", 1)
			if topic := receive(t, got); topic != "late/0" {
				t.Errorf("got %q", topic)
			}
			if err := errors.Join(srv.Stop(within(t, patience)), srv.Start(t.Context()), srv.WaitReady(within(t, patience))); err != nil {
				t.Fatal(err)
			}
		}
		if err := late.Unsubscribe(true); err != nil {
			t.Fatal(err)
		}
		b.Cut("app-late") // a session without subscriptions does not affect readiness
		if h := srv.Health(); !h.Ready || h.Filters != 1 {
			t.Errorf("health %+v", h)
		}
		mqtttest.Eventually(t, patience, func() bool {
			return !slices.ContainsFunc(b.Sessions(), func(s testbroker.Session) bool { return s.ClientID == "app-late" && len(s.Filters) > 0 })
		})
	})
}

// The server is ready when every session is ready, and Start reports the errors of all
// of them.
func TestOwnSessionReadiness(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		refused := b.Inject(testbroker.Fault{Type: testbroker.Subscribe, Client: testbroker.ClientID("app-mine"), Do: testbroker.Refuse(0x87)})
		srv := c.server(t, mqttserver.WithClientId("app"))
		got := make(chan string, 10)
		register(t, srv, "one", into(got), mqttbroker.WithSubscribeOwnSession("mine"))
		register(t, srv, "two", into(got))
		if err := srv.Start(t.Context()); err == nil || !strings.Contains(err.Error(), `"one"`) {
			t.Errorf("Start with a refused filter of a session of its own: %v", err)
		}
		refused.Remove()
		start(t, srv)
		if n := b.Cut("app-mine"); n == 0 {
			t.Fatal("no connection to cut")
		}
		b.Refuse(true)
		mqtttest.Eventually(t, patience, func() bool { return !srv.Health().Ready })
		h := srv.Health()
		if own := sessionIn(t, h, "app-mine"); !h.Connected || own.Connected || own.LastError == nil || h.LastError == nil {
			t.Errorf("health %+v", h)
		}
		b.Refuse(false)
		if err := srv.WaitReady(within(t, patience)); err != nil {
			t.Error(err)
		}
	})
}

// The same at a real broker, with a backlog on both sessions when they connect.
func TestOwnSessionAtMosquitto(t *testing.T) {
	t.Parallel()
	const stuck, others = 100, 300
	for _, version := range []string{"5", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol(version), false}
			var bad blocked
			var good atomic.Int64
			served := func() *mqttserver.Server {
				srv := c.server(t, mqttserver.WithClientId("app"))
				register(t, srv, "bad/+", bad.handle, bad.options(mqttbroker.WithSubscribeOwnSession(""))...)
				register(t, srv, "good/+", func(context.Context, string, broker.Headers, *reading) error {
					good.Add(1)
					return nil
				})
				start(t, srv)
				return srv
			}
			if err := served().Stop(within(t, patience)); err != nil { // the sessions exist
				t.Fatal(err)
			}
			data := c.broker(t)
			sends(t, data, "bad", stuck)
			sends(t, data, "good", others)
			served()
			mqtttest.Eventually(t, patience, reaches(&good, others))
			bad.mended.Store(true)
			mqtttest.Eventually(t, patience, reaches(&bad.handled, stuck))
		})
	}
}

// Parked messages belong to the subscription, not to its session: a later deployment
// that adds or removes an own session continues with them.
func TestOwnSessionParks(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		store := deadletter.NewMemory(0)
		var failing, first, second blocked
		served := func(handler, other *blocked, own bool) *mqttserver.Server {
			srv := c.server(t, mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(store)))
			opts := []broker.SubscribeOption{
				mqttbroker.WithSubscribeExhausted(event.ExhaustedPark), broker.WithSubscribeRetry(1, time.Millisecond),
				mqttbroker.WithSubscribeParkMaxAttempts(0), mqttbroker.WithSubscribeMaxBackoff(10 * time.Millisecond),
			}
			register(t, srv, "work/+", handler.handle, opts...)
			if own {
				opts = append(opts, mqttbroker.WithSubscribeOwnSession(""))
			}
			register(t, srv, "work/+", other.handle, opts...)
			start(t, srv)
			return srv
		}
		first.mended.Store(true)
		srv := served(&first, &failing, true)
		sends(t, c.broker(t), "work", 10)
		mqtttest.Eventually(t, patience, func() error {
			if h := srv.Health(); h.Parked != 10 || h.Queued+h.Running > 10 {
				return fmt.Errorf("health %+v", h)
			}
			return nil
		})
		if err := srv.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		second.mended.Store(true)
		srv = served(&first, &second, false)
		mqtttest.Eventually(t, patience, reaches(&second.handled, 10))
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().Parked == 0 })
		if n := first.handled.Load(); n != 10 {
			t.Errorf("the other handler handled %d, want 10", n)
		}
	})
}

// Messages that wait in the shared session for a subscription that now has its own
// session still reach its handler, even if it is registered after the start.
func TestOwnSessionTakesItsBacklogAlong(t *testing.T) {
	t.Parallel()
	const backlog = 15 // fits into the window: later messages are acknowledged after it
	for name, late := range map[string]bool{"before the start": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
				var before, after blocked
				before.mended.Store(true)
				after.mended.Store(true)
				srv := c.server(t, mqttserver.WithClientId("app"))
				register(t, srv, "work/+", before.handle)
				start(t, srv)
				if err := srv.Stop(within(t, patience)); err != nil {
					t.Fatal(err)
				}
				sends(t, c.broker(t), "work", backlog)
				srv = c.server(t, mqttserver.WithClientId("app"))
				if late {
					register(t, srv, "other", before.handle)
					start(t, srv)
					mqtttest.Eventually(t, patience, func() bool { return srv.Health().UnmatchedKept == backlog })
				}
				register(t, srv, "work/+", after.handle, mqttbroker.WithSubscribeOwnSession("mine"))
				if !late {
					start(t, srv)
				}
				mqtttest.Eventually(t, patience, reaches(&after.handled, backlog))
				mqtttest.Eventually(t, patience, func() bool {
					return !slices.ContainsFunc(b.Sessions(), func(s testbroker.Session) bool { return s.ClientID == "app" && s.Pending > 0 })
				})
				leftBehind(t, b, "app", "work/+")
				sends(t, c.broker(t), "work", backlog)
				mqtttest.Eventually(t, patience, reaches(&after.handled, 2*backlog))
				if h := srv.Health(); h.Unmatched != 0 {
					t.Errorf("health %+v", h)
				}
			})
		})
	}
}

// leftBehind waits until a session no longer has a filter.
func leftBehind(t testing.TB, b *mqtttest.InProcessBroker, id, filter string) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		for _, s := range b.Sessions() {
			if s.ClientID == id && slices.Contains(s.Filters, filter) {
				return fmt.Errorf("%q still has %q", id, s.Filters)
			}
		}
		return nil
	})
}

// Batches are collected on the session of the subscription. Messages that still arrive
// on its previous session are handled one by one.
func TestOwnSessionHandlesBatches(t *testing.T) {
	t.Parallel()
	const n = 50
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		var handled atomic.Int64
		served := func(opts ...event.RegisterOption) *mqttserver.Server {
			srv := c.server(t, mqttserver.WithClientId("app"))
			d := &event.ServiceDesc{Name: "test.Events", Methods: []event.MethodDesc{{
				Name: "Save", Operation: "/test.Events/Save", Topic: "work/{x}", Filters: []string{"work/+"}, QoS: 1, Codec: "json",
				Batch: &event.BatchDesc{MaxSize: 10, MaxWait: 20 * time.Millisecond},
			}}}
			m := &d.Methods[0]
			batch := eventimpl.NewBatch(m, func(_ context.Context, in []*emptypb.Empty) error {
				handled.Add(int64(len(in)))
				return nil
			})
			h := eventimpl.NewHandler(m, func(context.Context, *emptypb.Empty) (*emptypb.Empty, error) { return nil, nil }, nil)
			srv.RegisterService(d, []event.Handler{h}, append(opts, batch)...)
			start(t, srv)
			return srv
		}
		send := func() {
			data := c.broker(t)
			for i := range n {
				if err := data.Publish(within(t, patience), fmt.Sprintf("work/%d", i), broker.NewMessage(&emptypb.Empty{})); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := served().Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		send()
		srv := served(event.OwnSession("Save", ""))
		mqtttest.Eventually(t, patience, reaches(&handled, n))
		leftBehind(t, b, "app", "work/+")
		send()
		mqtttest.Eventually(t, patience, reaches(&handled, 2*n))
		if s := sessionIn(t, srv.Health(), "app-Save"); s.Filters != 1 || s.Name != "Save" {
			t.Errorf("health %+v", s)
		}
		if list := srv.Filters(); len(list) != 1 || list[0].Filter != "work/+" || list[0].Session != "Save" || !list[0].Granted || list[0].Err != nil {
			t.Errorf("%+v", list)
		}
	})
}
