package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// eachInProcess runs a test for each carrier, each with its own in-process broker.
func eachInProcess(t *testing.T, test func(t *testing.T, c carrier, b *mqtttest.InProcessBroker), opts ...testbroker.Option) {
	t.Helper()
	for _, version := range []string{"5", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t, opts...)
			test(t, carrier{b.URL(), mqttbroker.WithProtocol(version), version == "3.1.1"}, b)
		})
	}
}

func startReplier(t *testing.T, c carrier, opts ...mqttserver.ServerOption) *mqttserver.Server {
	t.Helper()
	srv := c.server(t, opts...)
	for _, filter := range []string{"double", "double/+"} {
		if err := mqttserver.RegisterReplier(srv, t.Context(), filter, double); err != nil {
			t.Fatal(err)
		}
	}
	start(t, srv)
	return srv
}

// sessionsOf returns the client ids of all connections.
func sessionsOf(b *mqtttest.InProcessBroker) (ids []string) {
	for _, s := range b.Sessions() {
		if s.Connected {
			ids = append(ids, s.ClientID)
		}
	}
	return ids
}

// Handlers that wait for replies do not delay replies, even if they occupy all workers
// and the broker allows only a few messages in flight. engine.md D3
func TestRequestsInsideHandlers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		workers int
	}{{"16 workers", 16}, {"100 workers and a window of 20", 100}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
				const messages = 64
				startReplier(t, c)
				var answered, failed atomic.Int64
				srv := c.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: uint32(tt.workers)})))
				register(t, srv, "front/+", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
					r, err := mqttbroker.Request[reading](ctx, srv, "double", reading{1}, broker.WithRequestTimeout(3*time.Second))
					if err != nil || r.Celsius != 2 {
						failed.Add(1)
						return err
					}
					answered.Add(1)
					return nil
				})
				start(t, srv)
				b := c.broker(t)
				for i := range messages {
					err := b.Publish(t.Context(), fmt.Sprintf("front/%d", i), broker.NewMessage(reading{1}), broker.WithPublishAsync(func(error) {}))
					if err != nil {
						t.Fatal(err)
					}
				}
				mqtttest.Eventually(t, patience, func() error {
					if n, bad := answered.Load(), failed.Load(); n < messages {
						return fmt.Errorf("%d of %d answered, %d failed", n, messages, bad)
					}
					return nil
				})
				if n := failed.Load(); n > 0 {
					t.Errorf("%d requests failed", n)
				}
			})
		})
	}
}

// The subscription for replies is released when no request waits on it. engine.md D14
func TestReplyTopicsAreGivenBack(t *testing.T) {
	t.Parallel()
	const requests, most = 1000, 64
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		var mu sync.Mutex
		open, highest := make(map[string]bool), 0
		b.Observe(func(o testbroker.Observed) {
			mu.Lock()
			defer mu.Unlock()
			for _, f := range o.Filters() {
				switch {
				case !strings.HasPrefix(f, "reply/") && !strings.HasPrefix(f, "inbox/"):
				case o.Type() == testbroker.Subscribe:
					open[f] = true
				case o.Type() == testbroker.Unsubscribe:
					delete(open, f)
				}
			}
			highest = max(highest, len(open))
		})
		startReplier(t, c, mqttserver.UnboundReplyTopics("reply/#"))
		data := c.broker(t, mqttbroker.WithClientId("data"))
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := range requests / 8 {
					topic := fmt.Sprintf("reply/one/%d/%d", worker, i)
					r, err := mqttbroker.Request[reading](within(t, patience), data, "double", reading{float64(i)}, broker.WithReplyTopic(topic))
					if err != nil || r.Celsius != 2*float64(i) {
						t.Errorf("%s: got %v, %v", topic, r, err)
						return
					}
				}
			})
		}
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		if highest > most || len(open) > most {
			t.Errorf("%d topics for replies were subscribed to at once, %d are left, want at most %d", highest, len(open), most)
		}
	})
}

// Requests that need more reply topics than are allowed wait until one is released.
func TestReplyTopicsWaitForRoom(t *testing.T) {
	t.Parallel()
	const requests = 100
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		srv, release := c.server(t, mqttserver.UnboundReplyTopics("reply/#"), mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: uint32(requests)}))), make(chan struct{})
		err := mqttserver.RegisterReplier(srv, t.Context(), "slow/+", func(ctx context.Context, r *reading) (*reading, error) {
			<-release
			return double(ctx, r)
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		data := c.broker(t, mqttbroker.WithClientId("data"))
		errs := make(chan error, requests)
		for i := range requests {
			go func() {
				_, err := mqttbroker.Request[reading](within(t, patience), data, fmt.Sprint("slow/", i), reading{1}, broker.WithReplyTopic(fmt.Sprint("reply/", i)))
				errs <- err
			}()
		}
		mqtttest.Eventually(t, patience, func() bool {
			return slices.ContainsFunc(b.Sessions(), func(s testbroker.Session) bool { return s.ClientID == "data-req" && len(s.Filters) == 64 })
		})
		_, err = mqttbroker.Request[reading](within(t, 50*time.Millisecond), data, "slow/x", reading{1}, broker.WithReplyTopic("reply/x"))
		wantReason(t, err, event.ReasonQuota, 429)
		close(release)
		for range requests {
			if err := receive(t, errs); err != nil {
				t.Error(err)
			}
		}
	})
}

// The session for requests receives replies only: the session of a server with the same
// client id keeps its messages. engine.md D1 c
func TestRequestOpensNoSubscriber(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		startReplier(t, c)
		var connects sync.Map
		b.Observe(func(o testbroker.Observed) {
			if o.Type() == testbroker.Connect {
				n, _ := connects.LoadOrStore(o.ClientID, new(atomic.Int64))
				n.(*atomic.Int64).Add(1)
			}
		})
		srv := c.server(t, mqttserver.WithClientId("app"))
		got := make(chan string, 100)
		register(t, srv, "work/+", into(got))
		start(t, srv)
		data := c.broker(t, mqttbroker.WithClientId("app"))
		for i := range 20 {
			publish(t, srv, fmt.Sprintf("work/%d", i))
			if _, err := mqttbroker.Request[reading](within(t, patience), data, "double", reading{1}); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			receive(t, got)
		}
		if _, err := mqttbroker.Request[reading](within(t, patience), srv, "double", reading{1}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"app", "app-req", "app-srv-req", "app-pub", "app-srv-pub"} {
			if _, ok := connects.Load(id); !ok {
				t.Errorf("%q did not connect; connected are %q", id, sessionsOf(b))
			}
		}
		if n, _ := connects.Load("app"); n.(*atomic.Int64).Load() != 1 {
			t.Error("the server's session was taken over")
		}
		if h := data.Health(); h.Filters != 0 {
			t.Errorf("the data layer subscribes to %d filters", h.Filters)
		}
	})
}

// A reply that the broker does not acknowledge does not delay publishes, and a publish
// that it does not acknowledge does not delay replies.
func TestRepliesAndPublishesAreApart(t *testing.T) {
	t.Parallel()
	for name, stuck := range map[string]string{"replies are stuck": "app-srv-reply", "publishes are stuck": "app-srv-pub"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
				fault := b.Inject(testbroker.Fault{Direction: testbroker.ToClient, Type: testbroker.Puback, Client: testbroker.ClientID(stuck), Do: testbroker.Drop()})
				defer func() {
					if n := fault.Applied(); n < 4 {
						t.Errorf("%d acknowledgements were held back on %q", n, stuck)
					}
					fault.Remove()
					b.Cut(stuck) // waiting messages are sent again
				}()
				srv := startReplier(t, c, mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithInFlight(4)))
				data := c.broker(t)
				if stuck == "app-srv-reply" {
					for i := range 4 { // fills the window; the requester receives its reply nevertheless
						if _, err := mqttbroker.Request[reading](within(t, patience), data, fmt.Sprintf("double/%d", i), reading{1}); err != nil {
							t.Fatal(err)
						}
					}
					for range 20 {
						publish(t, srv, "out")
					}
					return
				}
				for range 4 {
					if err := srv.Publish(within(t, patience), "out", broker.NewMessage(reading{1}), broker.WithPublishAsync(func(error) {})); err != nil {
						t.Fatal(err)
					}
				}
				for range 20 {
					if _, err := mqttbroker.Request[reading](within(t, patience), data, "double", reading{1}); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// A request survives the loss of the connection on which its reply would arrive. It is
// answered after the reconnect, or returns an error that describes what happened.
func TestRequestOverALostConnection(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		srv, arrived, release := c.server(t), make(chan struct{}, 10), make(chan struct{})
		err := mqttserver.RegisterReplier(srv, t.Context(), "slow/+", func(ctx context.Context, r *reading) (*reading, error) {
			arrived <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
			return double(ctx, r)
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		data := c.broker(t, mqttbroker.WithClientId("data"), mqttbroker.WithConnectRetryInterval(10*time.Millisecond))
		request := func(topic string, timeout time.Duration) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := mqttbroker.Request[reading](within(t, timeout), data, topic, reading{1})
				done <- err
			}()
			receive(t, arrived)
			return done
		}
		subscribed := func() bool {
			return slices.ContainsFunc(b.Sessions(), func(s testbroker.Session) bool {
				return s.ClientID == "data-req" && s.Connected && len(s.Filters) == 1
			})
		}
		lose := func() {
			if n := b.Cut("data-req"); n == 0 {
				t.Fatal("no connection to cut")
			}
			mqtttest.Eventually(t, patience, subscribed)
		}
		unanswered := request("slow/1", time.Second)
		lose()
		err = receive(t, unanswered)
		wantReason(t, err, event.ReasonTimeout, 504)
		if !strings.Contains(err.Error(), "connection") {
			t.Errorf("the error does not say that the connection was lost: %v", err)
		}
		answered := request("slow/2", patience)
		lose()
		close(release)
		if err := receive(t, answered); err != nil {
			t.Errorf("not answered after the reconnect: %v", err)
		}
	})
}

// Stop ends waiting requests and every connection.
func TestStopEndsRequests(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		srv := startReplier(t, c, mqttserver.WithClientId("app"))
		if _, err := mqttbroker.Request[reading](within(t, patience), srv, "double", reading{1}); err != nil {
			t.Fatal(err)
		}
		mqtttest.Eventually(t, patience, func() bool { return len(sessionsOf(b)) == 4 }) // app, app-srv-pub, -req and -reply
		done := make(chan error, 1)
		go func() {
			_, err := mqttbroker.Request[reading](within(t, time.Minute), srv, "nobody", reading{1})
			done <- err
		}()
		mqtttest.Eventually(t, patience, func() bool { return b.Counts().Packets(testbroker.ToBroker, testbroker.Publish) >= 3 })
		if err := srv.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		err := receive(t, done)
		var e *event.Error
		if !errors.As(err, &e) || e.Reason != event.ReasonClosed || !e.MayHaveBeenSent {
			t.Errorf("got %v", err)
		}
		mqtttest.Eventually(t, patience, func() bool { return len(sessionsOf(b)) == 0 })
	})
}

// connectHook records the client ids that connect.
type connectHook struct{ ids chan string }

func (h connectHook) OnConnectAttempt(i event.ConnectAttemptInfo) { h.ids <- i.ClientID }

// Hooks, log and Health name each connection.
func TestConnectionsOfRequestsAreNamed(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	hook := connectHook{make(chan string, 10)}
	srv, out := server(t, b.URL(), mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithHooks(hook), mqttbroker.WithProtocol("5")))
	if err := mqttserver.RegisterReplier(srv, t.Context(), "double", double); err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	if _, err := mqttbroker.Request[reading](within(t, patience), srv, "double", reading{1}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 4 {
		ids = append(ids, receive(t, hook.ids))
	}
	slices.Sort(ids)
	if want := []string{"app", "app-srv-pub", "app-srv-reply", "app-srv-req"}; !slices.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
	for _, id := range ids {
		if s := sessionIn(t, srv.Health(), id); !s.Connected || s.LastError != nil {
			t.Errorf("health %+v", s)
		}
		if !strings.Contains(out.String(), "mqtt: connected messaging.client.id="+id+" ") {
			t.Errorf("the log does not name %q", id)
		}
	}
}

// The topic for replies belongs to one process, and nobody can guess it.
func TestReplyTopicBelongsToTheProcess(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	topics := make(chan string, 10)
	b.Observe(func(o testbroker.Observed) {
		if o.Type() == testbroker.Subscribe && strings.HasSuffix(o.ClientID, "-req") {
			topics <- o.Filters()[0]
		}
	})
	c := carrier{b.URL(), mqttbroker.WithProtocol("5"), false}
	startReplier(t, c)
	var seen []string
	for range 2 {
		data := c.broker(t, mqttbroker.WithClientId("data"))
		if _, err := mqttbroker.Request[reading](within(t, patience), data, "double", reading{1}); err != nil {
			t.Fatal(err)
		}
		if err := data.Disconnect(); err != nil {
			t.Fatal(err)
		}
		topic := receive(t, topics)
		rest, ok := strings.CutPrefix(topic, "inbox/data/")
		if !ok || len(rest) < 22 || slices.Contains(seen, topic) {
			t.Errorf("reply topic %q, before %q", topic, seen)
		}
		seen = append(seen, topic)
	}
}

// If the client id for replies may not connect, or its topic may not be read, a request
// returns that error at once.
func TestRequestWithoutAccess(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, refuse func(b *mqtttest.InProcessBroker), opts ...testbroker.Option) {
		t.Helper()
		eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
			startReplier(t, c)
			refuse(b)
			data := c.broker(t, mqttbroker.WithClientId("data"))
			ctx, began := within(t, 4*patience), time.Now()
			for range 2 {
				_, err := mqttbroker.Request[reading](ctx, data, "double", reading{1})
				var e *event.Error
				if !errors.As(err, &e) || e.MayHaveBeenSent || e.Reason != event.ReasonNotAuthorized && e.Reason != event.ReasonRefused {
					t.Errorf("got %v", err)
				}
			}
			if d := time.Since(began); d > patience {
				t.Errorf("it took %v", d)
			}
			if err := data.Publish(within(t, patience), "x", broker.NewMessage(reading{1})); err != nil {
				t.Errorf("a publish beside it: %v", err)
			}
		}, opts...)
	}
	t.Run("connect", func(t *testing.T) {
		t.Parallel()
		test(t, func(*mqtttest.InProcessBroker) {}, testbroker.WithAuthentication(func(id, _, _ string) byte {
			if id == "data-req" {
				return 0x87
			}
			return 0
		}))
	})
	t.Run("subscribe", func(t *testing.T) {
		t.Parallel()
		test(t, func(b *mqtttest.InProcessBroker) {
			b.Inject(testbroker.Fault{Type: testbroker.Subscribe, Client: testbroker.ClientID("data-req"), Do: testbroker.Refuse(0x87)})
		})
	})
}

// Two clients of a process with the same client id would disconnect each other. The
// second one returns an error.
func TestRequestsOfTwoClientsWithOneID(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		startReplier(t, c)
		request := func(b broker.Broker) error {
			_, err := mqttbroker.Request[reading](within(t, patience), b, "double", reading{1})
			return err
		}
		if err := request(c.broker(t, mqttbroker.WithClientId("data"))); err != nil {
			t.Fatal(err)
		}
		err := request(c.broker(t, mqttbroker.WithClientId("data")))
		var e *event.Error
		if !errors.As(err, &e) || e.Reason != event.ReasonTakenOver || !strings.Contains(err.Error(), `"data-req"`) {
			t.Errorf("got %v", err)
		}
	})
}
