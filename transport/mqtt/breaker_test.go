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

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// pauses is a hook that records what it receives.
type pauses struct {
	mu  sync.Mutex
	all []event.SubscriptionPause
}

func (p *pauses) OnPause(info event.SubscriptionPause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, info)
}

func (p *pauses) states(name string) (list []event.PauseState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, info := range p.all {
		if info.Name == name {
			list = append(list, info.State)
		}
	}
	return list
}

// dependency is a service that handlers need. It counts their attempts.
type dependency struct {
	up       atomic.Bool
	attempts atomic.Int64
	handled  atomic.Int64
}

func (d *dependency) handle(context.Context, string, broker.Headers, *reading) error {
	d.attempts.Add(1)
	if !d.up.Load() {
		return errors.New("the database is away")
	}
	d.handled.Add(1)
	return nil
}

const breakerPause = 100 * time.Millisecond

var quickBreaker = event.Breaker{Failures: 5, Pause: breakerPause}

func paused(srv *mqttserver.Server, states ...event.PauseState) func() error {
	return func() error {
		all := srv.Health().Pauses
		if len(all) == 0 && len(states) == 0 {
			return nil
		}
		if len(all) != 1 || !slices.Contains(states, all[0].State) {
			return fmt.Errorf("pauses %+v, want one of %q", all, states)
		}
		return nil
	}
}

// trials waits for some trials of an open breaker, and checks that there is at most one in
// each pause.
func trials(t *testing.T, attempts *atomic.Int64) {
	t.Helper()
	more := func(n int64) (before int64) {
		before = attempts.Load()
		mqtttest.Eventually(t, patience, func() bool { return attempts.Load() >= before+n }, "no more trials")
		return before
	}
	more(2) // attempts that began before it opened may be among these
	began := time.Now()
	before := more(5)
	if n, most := attempts.Load()-before, int64(time.Since(began)/breakerPause)+1; n > most {
		t.Errorf("%d attempts within %v, want at most %d", n, time.Since(began), most)
	}
}

func letters(t *testing.T, store deadletter.Store) int {
	t.Helper()
	s, err := store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Dead + s.Parked
}

// While a dependency is down, a breaker allows few attempts and makes no dead letters,
// and the log, the hook and Health report it. Then everything is handled.
func TestBreakerDuringAnOutage(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"own session": true, "shared session": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
				const messages, others, window = 200, 100, 20
				store, told, out := deadletter.NewMemory(0), new(pauses), new(logs)
				srv := c.server(t, mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(
					mqttbroker.WithDeadLetters(store), mqttbroker.WithHooks(told), mqttbroker.WithBreaker(quickBreaker), mqttbroker.WithKratosLogger(log.NewStdLogger(out))))
				var bad dependency
				var good atomic.Int64
				opts := []broker.SubscribeOption{mqttbroker.WithSubscribeRetryBudget(time.Millisecond), broker.WithSubscribeRetry(20, 10*time.Millisecond)}
				if own {
					opts = append(opts, mqttbroker.WithSubscribeOwnSession("bad"))
				}
				register(t, srv, "bad/+", bad.handle, opts...)
				register(t, srv, "good/+", func(context.Context, string, broker.Headers, *reading) error { good.Add(1); return nil })
				start(t, srv)
				data := c.broker(t)
				sends(t, data, "bad", messages)
				mqtttest.Eventually(t, patience, paused(srv, event.BreakerOpen, event.BreakerHalfOpen))
				if own {
					sends(t, data, "good", others)
					mqtttest.Eventually(t, patience, reaches(&good, others))
				}
				began := time.Now()
				trials(t, &bad.attempts)
				mqtttest.Eventually(t, patience, func() bool { h := srv.Health(); return len(h.Pauses) == 1 && h.Pauses[0].Waiting >= window }, "the messages do not wait here")
				h := srv.Health()
				if len(h.Pauses) != 1 || h.BreakersOpened != 1 {
					t.Fatalf("pauses %+v, %d opened", h.Pauses, h.BreakersOpened)
				}
				p := h.Pauses[0]
				wantAlso := []string{"good/+"}
				if own {
					wantAlso = nil
				}
				if p.Name != "bad/+" || p.Since.After(began) || p.Failures < 8 || p.Failures > int(bad.attempts.Load()) || !strings.Contains(p.LastError, "the database is away") ||
					p.Waiting > messages || !slices.Equal(p.AlsoWaiting, wantAlso) || (p.State == event.BreakerOpen) == p.NextTrial.IsZero() {
					t.Errorf("%+v after %d attempts", p, bad.attempts.Load())
				}
				bad.up.Store(true)
				mqtttest.Eventually(t, patience, func() error {
					if n := letters(t, store); n > 0 {
						t.Fatalf("%d dead letters", n)
					}
					return reaches(&bad.handled, messages)()
				})
				mqtttest.Eventually(t, patience, paused(srv))
				mqtttest.Eventually(t, patience, func() error {
					states := told.states("bad/+")
					if len(states) < 4 || !slices.Equal(states[:3], []event.PauseState{event.BreakerOpen, event.BreakerHalfOpen, event.BreakerOpen}) || states[len(states)-1] != event.BreakerClosed {
						return fmt.Errorf("the hook received %q", states)
					}
					return nil
				})
				if out.count("its messages wait") != 1 || out.count("handles messages again messaging.destination.subscription.name=bad/+") != 1 || (out.count("its messages wait messaging.destination.subscription.name=bad/+ kratosmqtt.also_waiting=good/+") == 1) == own {
					t.Errorf("log:\n%s", out)
				}
				if n := b.Dropped(); n > 0 {
					t.Errorf("the broker dropped %d messages", n)
				}
			}, testbroker.MaxInflight(20))
		})
	}
}

// A batch that fails as a whole counts as one failure, and waits as a whole. Duplicates
// do not close the breaker.
func TestBreakerOfBatches(t *testing.T) {
	t.Parallel()
	windows(t, func(t *testing.T, s *textStore) {
		var calls atomic.Int64
		var away atomic.Bool
		store, d, url := deadletter.NewMemory(0), textService(), mqtttest.InProcess(t).URL()
		m := &d.Methods[0]
		m.ID = func(in proto.Message) string { return in.(*wrapperspb.StringValue).GetValue() }
		srv, _ := server(t, url, mqttserver.WithBrokerOptions(mqttbroker.WithDedup(s.window), mqttbroker.WithDeadLetters(store)))
		save := func(ctx context.Context, in []*wrapperspb.StringValue) error {
			calls.Add(1)
			if away.Load() {
				return errors.New("the database is away")
			}
			texts := make([]string, len(in))
			for i := range in {
				texts[i] = in[i].GetValue()
			}
			return s.save(ctx, texts)
		}
		one := func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) {
			return nil, errors.New("not a batch")
		}
		srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(m, one)}, eventimpl.NewBatch(m, save, event.BatchSize(10), event.BatchWait(10*time.Millisecond)), event.BreakerFor(quickBreaker, m.Name))
		start(t, srv)
		data := carrier{url: url, version: mqttbroker.WithProtocol("3.1.1")}.broker(t, broker.WithCodec("proto"))
		publish := func(texts ...string) {
			for _, text := range texts {
				if err := data.Publish(within(t, patience), "texts/"+text, broker.NewMessage(wrapperspb.String(text))); err != nil {
					t.Fatal(err)
				}
			}
		}
		known := []string{"a", "b", "c", "d", "e"}
		publish(known...)
		mqtttest.Eventually(t, patience, func() bool { return len(s.texts(t)) == len(known) })
		away.Store(true)
		calls.Store(0)
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprintf("%02d", i))
		}
		publish(want...)
		mqtttest.Eventually(t, patience, paused(srv, event.BreakerOpen, event.BreakerHalfOpen))
		if n := calls.Load(); n > 7 {
			t.Errorf("%d calls until it opened", n)
		}
		publish(known...)
		trials(t, &calls)
		if p := srv.Health().Pauses; len(p) != 1 || p[0].Name != m.Operation || p[0].Waiting < 10 {
			t.Errorf("pauses %+v", p)
		}
		if err := errors.Join(srv.Pause(t.Context(), m.Operation), srv.Resume(t.Context(), m.Operation)); err != nil {
			t.Error(err)
		}
		away.Store(false)
		mqtttest.Eventually(t, patience, func() error {
			if got := s.texts(t); len(got) != len(known)+len(want) {
				return fmt.Errorf("%d stored: %q", len(got), got)
			}
			return nil
		})
		got := s.texts(t)[len(known):]
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("stored %q", got)
		}
		if n := letters(t, store); n > 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// A message for which a retry does not help does not open a breaker. Neither does a
// request that is answered with an error.
func TestBreakerIgnoresWhatNoRetryHelps(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		store := deadletter.NewMemory(0)
		srv := c.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(store), mqttbroker.WithBreaker(quickBreaker)))
		register(t, srv, "poison/+", func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
			switch {
			case strings.HasSuffix(topic, "0"):
				return errPoison
			case strings.HasSuffix(topic, "1"):
				return event.Permanent(errors.New("never"))
			}
			return event.WithVerdict(errors.New("drop"), event.VerdictDrop)
		})
		register(t, srv, "undecodable/+", func(context.Context, string, broker.Headers, *reading) error { return nil })
		if err := mqttserver.RegisterReplier(srv, t.Context(), "ask", func(context.Context, *reading) (*reading, error) { return nil, errors.New("away") }); err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		data := c.broker(t)
		sends(t, data, "poison", 40)
		for i := range 20 {
			if err := data.Publish(within(t, patience), fmt.Sprintf("undecodable/%d", i), broker.NewMessage([]byte("{"))); err != nil {
				t.Fatal(err)
			}
			if _, err := srv.Request(within(t, patience), "ask", broker.NewMessage(reading{1})); err == nil {
				t.Fatal("no error of the replier")
			}
		}
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().Queued+srv.Health().Running == 0 })
		if h := srv.Health(); h.BreakersOpened > 0 || len(h.Pauses) > 0 {
			t.Errorf("%d opened: %+v", h.BreakersOpened, h.Pauses)
		}
	})
}

// A manual pause lasts until Resume: it can start before Start, and it survives a lost
// connection, and Stop and Start. No handler of the subscription runs meanwhile, and
// Stop does not wait for its messages.
func TestPauseByHand(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		const messages = 100
		srv := c.server(t, mqttserver.WithClientId("app"))
		var d dependency
		d.up.Store(true)
		register(t, srv, "data/+", d.handle)
		wantReason(t, srv.Pause(t.Context(), "unknown"), event.ReasonBadRequest, 400)
		wantReason(t, srv.Resume(t.Context(), "unknown"), event.ReasonBadRequest, 400)
		if err := srv.Pause(t.Context(), "data/+", event.PausedBy("ann", "migration")); err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		data := c.broker(t)
		sends(t, data, "data", messages)
		waiting := func() error {
			p := srv.Health().Pauses
			if len(p) != 1 || p[0].State != event.PausedByHand || p[0].Waiting != 20 || p[0].Since.IsZero() || p[0].By != "ann" || p[0].Why != "migration" {
				return fmt.Errorf("pauses %+v", p)
			}
			return nil
		}
		mqtttest.Eventually(t, patience, waiting)
		lost := srv.Health().LastLoss
		b.Cut("app")
		mqtttest.Eventually(t, patience, func() bool { return srv.Health().LastLoss != lost && srv.Health().Ready })
		mqtttest.Eventually(t, patience, waiting) // each once
		began := time.Now()
		if err := srv.Stop(within(t, patience)); err != nil {
			t.Errorf("stop: %v", err)
		}
		if took := time.Since(began); took > patience/4 {
			t.Errorf("stop took %v", took)
		}
		start(t, srv)
		mqtttest.Eventually(t, patience, waiting)
		if n := d.attempts.Load(); n > 0 {
			t.Errorf("%d attempts while paused", n)
		}
		if err := srv.Resume(t.Context(), "data/+"); err != nil {
			t.Fatal(err)
		}
		mqtttest.Eventually(t, patience, reaches(&d.handled, messages))
		mqtttest.Eventually(t, patience, paused(srv))
		if n := d.attempts.Load(); n != messages {
			t.Errorf("%d attempts at %d messages", n, messages)
		}
	}, testbroker.MaxInflight(20))
}

// Pause waits for running handlers until its context ends. The subscription stays
// paused in either case.
func TestPauseWaitsForHandlers(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		srv := c.server(t)
		runs, let := make(chan struct{}, 10), make(chan struct{})
		register(t, srv, "data/+", func(context.Context, string, broker.Headers, *reading) error {
			runs <- struct{}{}
			<-let
			return nil
		})
		start(t, srv)
		data := c.broker(t)
		sends(t, data, "data", 1)
		receive(t, runs)
		wantReason(t, srv.Pause(within(t, 50*time.Millisecond), "data/+"), event.ReasonTimeout, 504)
		done := make(chan error, 1)
		go func() { done <- srv.Pause(within(t, patience), "data/+") }()
		close(let)
		if err := receive(t, done); err != nil {
			t.Fatal(err)
		}
		sends(t, data, "data", 3)
		mqtttest.Eventually(t, patience, func() bool { p := srv.Health().Pauses; return len(p) == 1 && p[0].Waiting == 3 })
		if len(runs) > 0 {
			t.Error("a handler runs while paused")
		}
		if err := srv.Resume(t.Context(), "data/+"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			receive(t, runs)
		}
	})
}

// The configuration of a subscription takes precedence over the defaults for all
// subscriptions, and over options in code.
func TestBreakerSettings(t *testing.T) {
	t.Parallel()
	failures := func(n uint32) *uint32 { return &n }
	for name, tt := range map[string]struct {
		config *v1.Subscriber
		opts   []broker.SubscribeOption
		opens  bool
	}{
		"none":                {nil, nil, false},
		"of all":              {&v1.Subscriber{Breaker: &v1.Breaker{}}, nil, true},
		"of one":              {&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"a": {Breaker: &v1.Breaker{Failures: failures(3)}}}}, nil, true},
		"of all, not of one":  {&v1.Subscriber{Breaker: &v1.Breaker{}, Subscriptions: map[string]*v1.Subscription{"a": {Breaker: &v1.Breaker{Failures: failures(0)}}}}, nil, false},
		"of all, not in code": {&v1.Subscriber{Breaker: &v1.Breaker{}}, []broker.SubscribeOption{mqttbroker.WithSubscribeBreaker(event.Breaker{})}, false},
		"in code":             {nil, []broker.SubscribeOption{mqttbroker.WithSubscribeBreaker(event.Breaker{Failures: 2})}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(tt.config), mqttbroker.WithDeadLetters(deadletter.NewMemory(0))))
			var d dependency
			register(t, srv, "a", d.handle, append(tt.opts, mqttbroker.WithSubscribeRetryBudget(time.Second), broker.WithSubscribeRetry(10, time.Millisecond), mqttbroker.WithSubscribeMaxBackoff(time.Millisecond))...)
			start(t, srv)
			publish(t, srv, "a")
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().BreakersOpened > 0 || d.attempts.Load() == 11 })
			if opened := srv.Health().BreakersOpened > 0; opened != tt.opens {
				t.Errorf("opened %t after %d attempts", opened, d.attempts.Load())
			}
		})
	}
	bad := &v1.Subscriber{
		Breaker:       &v1.Breaker{Failures: failures(1001), Window: durationpb.New(0)},
		Subscriptions: map[string]*v1.Subscription{"a": {Breaker: &v1.Breaker{Pause: durationpb.New(-1)}}},
	}
	err := mqttbroker.NewBroker(broker.WithAddress("mqtt://h:1"), mqttbroker.WithSubscriberConfig(bad), mqttbroker.WithBreaker(event.Breaker{Failures: -1})).Init()
	for _, want := range []string{"subscriber.breaker.failures: is 1001", "subscriber.breaker.window: is 0s", "subscriber.subscriptions.a.breaker.pause: is -1ns", "breaker of -1 failures"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
