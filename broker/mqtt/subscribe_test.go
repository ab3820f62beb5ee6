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

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func nothing(context.Context, broker.Event) error { return nil }

func TestSubscribeRefusesBadInput(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	pointer := func() any { return new(int) }
	tests := map[string]struct {
		filter  string
		handler broker.Handler
		binder  broker.Binder
		opts    []broker.SubscribeOption
		reason  event.Reason
	}{
		"nil handler":          {"a", nil, nil, nil, event.ReasonBadRequest},
		"empty filter":         {"", nothing, nil, nil, event.ReasonBadTopic},
		"# inside":             {"a/#/b", nothing, nil, nil, event.ReasonBadTopic},
		"NUL":                  {"a\x00", nothing, nil, nil, event.ReasonBadTopic},
		"too long":             {strings.Repeat("f", 65536), nothing, nil, nil, event.ReasonBadTopic},
		"everything":           {"#", nothing, nil, nil, event.ReasonBadTopic},
		"the broker's own":     {"$SYS/broker", nothing, nil, nil, event.ReasonBadTopic},
		"bad queue":            {"a", nothing, nil, []broker.SubscribeOption{broker.WithSubscribeQueueName("a/b")}, event.ReasonBadTopic},
		"QoS 3":                {"a", nothing, nil, []broker.SubscribeOption{mqttbroker.WithSubscribeQos(3)}, event.ReasonBadRequest},
		"negative concurrency": {"a", nothing, nil, []broker.SubscribeOption{broker.WithSubscribeConcurrency(-1)}, event.ReasonBadRequest},
		"negative retries":     {"a", nothing, nil, []broker.SubscribeOption{broker.WithSubscribeRetry(-1, 0)}, event.ReasonBadRequest},
		"negative delay":       {"a", nothing, nil, []broker.SubscribeOption{broker.WithSubscribeRetry(1, -1)}, event.ReasonBadRequest},
		"negative timeout":     {"a", nothing, nil, []broker.SubscribeOption{mqttbroker.WithSubscribeTimeout(-1)}, event.ReasonBadRequest},
		"unknown codec":        {"a", nothing, pointer, []broker.SubscribeOption{mqttbroker.WithSubscribeCodec("nope")}, event.ReasonCodec},
		"binder gives nil":     {"a", nothing, func() any { return nil }, nil, event.ReasonCodec},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sub, err := b.Subscribe(tt.filter, tt.handler, tt.binder, tt.opts...)
			if e := wantReason(t, err, tt.reason, 400); sub != nil || e.Op != "subscribe" {
				t.Errorf("op %q, subscriber %v", e.Op, sub)
			}
		})
	}
	got := subscribe(t, b, "#", mqttbroker.WithSubscribeBroad())
	publish(t, b, "still/up", "x")
	receive(t, got)
}

func TestSubscribeOptionsSurviveReplacedContext(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	ctx := context.WithValue(t.Context(), contextKey{}, "value")
	type delivery struct {
		raw   string
		value any
	}
	tests := map[string][]broker.SubscribeOption{
		"replaced after":  {mqttbroker.WithSubscribeCodec("proto"), broker.WithSubscribeContext(ctx)},
		"replaced before": {broker.WithSubscribeContext(ctx), mqttbroker.WithSubscribeCodec("proto")},
		"value after": {
			broker.WithSubscribeContext(context.Background()), mqttbroker.WithSubscribeCodec("proto"),
			broker.SubscribeContextWithValue(contextKey{}, "value"), nil,
		},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			filter := "ctx/" + strings.ReplaceAll(name, " ", "-")
			got := make(chan delivery, 1)
			_, err := broker.Subscribe(b, filter, func(ctx context.Context, _ string, _ broker.Headers, m *stringValue) error {
				got <- delivery{m.GetValue(), ctx.Value(contextKey{})}
				return nil
			}, opts...)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, b, filter, newString("x"), codec("proto"))
			if d := receive(t, got); d.raw != "x" || d.value != "value" {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// The end of the subscription's context does not end the subscription.
func TestSubscribeContextGivesValuesOnly(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	errs := make(chan error, 1)
	_, err := b.Subscribe("a", func(ctx context.Context, _ broker.Event) error {
		if _, ok := ctx.Deadline(); !ok {
			errs <- errors.New("no deadline")
		}
		errs <- ctx.Err()
		return nil
	}, nil, broker.WithSubscribeContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "x")
	if err := receive(t, errs); err != nil {
		t.Error(err)
	}
}

// Each handler runs once for a message, however many filters match it.
func TestOverlappingFilters(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, server mqtttest.Broker) {
		b := connected(t, server.URL())
		filters := []string{"o/#", "o/+", "o/1", "+/1", "o/1"}
		chans := make([]<-chan seen, len(filters))
		for i, f := range filters {
			chans[i] = subscribe(t, b, f)
		}
		for n := range 10 {
			publish(t, b, "o/1", n)
		}
		for i, ch := range chans {
			for n := range 10 {
				if m := receive(t, ch); m.body != fmt.Sprint(n) {
					t.Errorf("%s (%d): got %s, want %d", filters[i], i, m.body, n)
				}
			}
		}
		publish(t, b, "o/1", "end")
		for i, ch := range chans {
			if m := receive(t, ch); m.body != `"end"` {
				t.Errorf("%s (%d): got %s again", filters[i], i, m.body)
			}
		}
	})
}

// Members of a group share the messages. A handler outside the group receives all of
// them.
func TestQueueNameSharesMessages(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, server mqtttest.Broker) {
		const messages = 40
		var mu sync.Mutex
		counts := make(map[string]int)
		handled := make(chan struct{}, 10*messages)
		for _, name := range []string{"a", "b"} {
			b := connected(t, server.URL())
			_, err := b.Subscribe("jobs/+", func(_ context.Context, e broker.Event) error {
				mu.Lock()
				counts[name]++
				counts[e.Topic()]++
				mu.Unlock()
				handled <- struct{}{}
				return nil
			}, nil, broker.WithSubscribeQueueName("workers"))
			if err != nil {
				t.Fatal(err)
			}
		}
		all := subscribe(t, connected(t, server.URL()), "jobs/+")
		pub := connected(t, server.URL())
		for n := range messages {
			publish(t, pub, fmt.Sprintf("jobs/%d", n), n)
		}
		for range messages {
			receive(t, handled)
			receive(t, all)
		}
		mu.Lock()
		defer mu.Unlock()
		if counts["a"] == 0 || counts["b"] == 0 || counts["a"]+counts["b"] != messages {
			t.Errorf("shares %d and %d of %d", counts["a"], counts["b"], messages)
		}
	})
}

func TestSubscribeConcurrency(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	var now, most atomic.Int32
	done := make(chan struct{}, 20)
	_, err := b.Subscribe("c/+", func(context.Context, broker.Event) error {
		n := now.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		time.Sleep(time.Millisecond) //nolint:forbidigo // the handler's work, long enough to overlap
		now.Add(-1)
		done <- struct{}{}
		return nil
	}, nil, broker.WithSubscribeConcurrency(2))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		publish(t, b, fmt.Sprintf("c/%d", n), n, broker.WithPublishAsync(nil))
	}
	for range 20 {
		receive(t, done)
	}
	if m := most.Load(); m > 2 {
		t.Errorf("%d at once, want at most 2", m)
	}
}

func TestHandlerErrors(t *testing.T) {
	t.Parallel()
	failure := errors.New("handler failed")
	tests := map[string]struct {
		fail     func(attempt int) error
		opts     []broker.SubscribeOption
		attempts int
		dead     bool
	}{
		"at first":            {func(n int) error { return when(n == 1, failure) }, nil, 2, false},
		"panic at first":      {func(n int) error { return when(n == 1, errPanic) }, nil, 2, false},
		"single attempt":      {func(int) error { return failure }, []broker.SubscribeOption{broker.WithSubscribeRetry(0, 0)}, 1, true},
		"two retries":         {func(int) error { return failure }, []broker.SubscribeOption{broker.WithSubscribeRetry(2, time.Millisecond)}, 3, true},
		"errPanic always":     {func(int) error { return errPanic }, []broker.SubscribeOption{broker.WithSubscribeRetry(1, time.Millisecond)}, 2, true},
		"400":                 {func(int) error { return kerrors.BadRequest("R", "m") }, nil, 1, true},
		"422":                 {func(int) error { return kerrors.New(422, "R", "m") }, nil, 1, true},
		"503 at first":        {func(n int) error { return when(n == 1, error(kerrors.ServiceUnavailable("R", "m"))) }, nil, 2, false},
		"deadline at first":   {func(n int) error { return when(n == 1, context.DeadlineExceeded) }, nil, 2, false},
		"wrapped event error": {func(int) error { return fmt.Errorf("w: %w", &event.Error{Reason: event.ReasonBadTopic}) }, nil, 1, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan error, 10)
			b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithServiceName("svc"),
				broker.WithErrorHandler(func(_ context.Context, e broker.Event) error {
					told <- e.Error()
					return nil
				}))
			letters := subscribe(t, b, "dead-letter/svc/+/+")
			attempts := make(chan int, 100)
			n := 0
			_, err := b.Subscribe("a", func(context.Context, broker.Event) error {
				n++
				attempts <- n
				err := tt.fail(n)
				if errors.Is(err, errPanic) {
					panic(err)
				}
				return err
			}, nil, tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, b, "a", "x")
			for range tt.attempts {
				receive(t, attempts)
			}
			if tt.dead {
				if m := receive(t, letters); !strings.Contains(m.body, `"subject":"a"`) {
					t.Errorf("dead letter %s", m.body)
				}
				if err := receive(t, told); err == nil {
					t.Error("the error handler was told no error")
				}
			}
			if len(attempts) > 0 {
				t.Error("more attempts than expected")
			}
		})
	}
}

var errPanic = errors.New("panic")

func when(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

func TestUndecodableMessageIsDeadLettered(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"json", "proto", "bomb"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan broker.Event, 1)
			b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithServiceName("svc"),
				broker.WithErrorHandler(func(_ context.Context, e broker.Event) error {
					told <- e
					panic("error handler")
				}))
			letters := subscribe(t, b, "dead-letter/svc/+/+")
			_, err := broker.Subscribe(b, "a", func(context.Context, string, broker.Headers, *stringValue) error {
				t.Error("the handler ran")
				return nil
			}, mqttbroker.WithSubscribeCodec(name))
			if err != nil {
				t.Fatal(err)
			}
			publish(t, b, "a", map[string]int{"a": 1})
			receive(t, letters)
			e := receive(t, told)
			wantReason(t, e.Error(), event.ReasonCodec, 400)
			if _, ok := e.Message().Body.([]byte); !ok || e.Topic() != "a" {
				t.Errorf("topic %q, body %T", e.Topic(), e.Message().Body)
			}
		})
	}
}

func TestManualAcknowledgement(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := connected(t, proxy.URL())
	acked := func() int { return proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback) }
	events := make(chan broker.Event, 2)
	_, err := b.Subscribe("a", func(_ context.Context, e broker.Event) error {
		events <- e
		return nil
	}, nil, broker.DisableAutoAck())
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "1")
	publish(t, b, "a", "2")
	first, second := receive(t, events), receive(t, events)
	if err := second.Message().AckSuccess(); err != nil { // out of order: waits for the first
		t.Fatal(err)
	}
	if n := acked(); n != 0 {
		t.Fatalf("%d acknowledged before Ack", n)
	}
	for range 2 { // the second does nothing
		if err := first.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	mqtttest.Eventually(t, patience, func() bool { return acked() == 2 })
}

func TestSubscriberMiddlewares(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	step := func(name string) broker.SubscriberMiddleware {
		return func(next broker.Handler) broker.Handler {
			return func(ctx context.Context, e broker.Event) error {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				return next(ctx, e)
			}
		}
	}
	b := connected(t, mqtttest.InProcess(t).URL(), broker.WithSubscriberMiddlewares(step("broker"), nil))
	got := subscribe(t, b, "a", broker.WithSubscribeMiddlewares(step("first"), step("second")))
	publish(t, b, "a", "x")
	receive(t, got)
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"broker", "first", "second"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
}

func TestBinders(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	type point struct{ X int }
	tests := map[string]struct {
		binder broker.Binder
		want   string
	}{
		"pointer": {func() any { return new(point) }, "*mqtt_test.point &{7}"},
		"value":   {func() any { return point{} }, "mqtt_test.point {7}"},
		"map":     {func() any { return map[string]int{} }, "map[string]int map[X:7]"},
		"none":    {nil, "[]uint8 [123 34 88 34 58 55 125]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			_, err := b.Subscribe("binder/"+name, func(_ context.Context, e broker.Event) error {
				got <- fmt.Sprintf("%T %v", e.Message().Body, e.Message().Body)
				return nil
			}, tt.binder)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, b, "binder/"+name, point{7})
			if s := receive(t, got); s != tt.want {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
}
