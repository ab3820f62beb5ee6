package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// memory returns a store with room for n entries.
func memory(t testing.TB, n int) outbox.Store {
	t.Helper()
	s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: n})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func depth(t testing.TB, s outbox.Store) int {
	t.Helper()
	stats, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Depth
}

func wantDepth(t testing.TB, s outbox.Store, want int) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if n := depth(t, s); n != want {
			return fmt.Errorf("%d in the outbox, want %d", n, want)
		}
		return nil
	})
}

// outboxSpy records what is reported to an operator.
type outboxSpy struct {
	mu   sync.Mutex
	seen []event.OutboxInfo
}

func (s *outboxSpy) OnOutbox(i event.OutboxInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, i)
}

func (s *outboxSpy) kinds() (list []event.OutboxKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.seen {
		list = append(list, i.Kind)
	}
	return list
}

func bothProtocols(t *testing.T, test func(t *testing.T, protocol string)) {
	t.Helper()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			test(t, protocol)
		})
	}
}

// Publish accepts messages before Connect, while the broker is down, and after
// Disconnect. All of them arrive, in order.
func TestOutboxKeepsWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	bothProtocols(t, func(t *testing.T, protocol string) {
		topic := "kept/" + protocol
		got := subscribe(t, connected(t, url, mqttbroker.WithProtocol(protocol)), topic)
		proxy, store, n := mqtttest.NewProxy(t, url), memory(t, 0), 0
		b, out := logged(t, proxy.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithOutbox(store))
		send := func() {
			t.Helper()
			for range 5 {
				publish(t, b, topic, fmt.Sprint(n))
				n++
			}
		}
		send()
		proxy.Refuse(true)
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		send()
		if h := b.Health().Outbox; h.Depth != 10 || h.Bytes == 0 || h.Age <= 0 || h.Fill <= 0 || h.Err != nil {
			t.Errorf("health %+v", h)
		}
		proxy.Refuse(false)
		wantDepth(t, store, 0)
		proxy.Refuse(true)
		proxy.Cut()
		send()
		started := time.Now()
		if err := b.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took > patience/2 {
			t.Errorf("stopped after %v", took)
		}
		if out.count("stopped, and left: 5 messages in the outbox") != 1 {
			t.Error("what is left is not in the log")
		}
		send()
		proxy.Refuse(false)
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		wantDepth(t, store, 0)
		seen := make(map[string]bool)
		for next := 0; next < n; {
			m := receive(t, got)
			m.body = strings.Trim(m.body, `"`)
			if m.body == fmt.Sprint(next) {
				next++
			} else if !seen[m.body] { // a cut may duplicate messages, but not reorder them
				t.Fatalf("got %s, want %d", m.body, next)
			}
			seen[m.body] = true
		}
	})
}

func TestOutboxRefuses(t *testing.T) {
	t.Parallel()
	spy, store := new(outboxSpy), memory(t, 2)
	b, out := logged(t, "mqtt://127.0.0.1:1", mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
	p, err := mqttbroker.NewPublisher(broker.WithAddress("mqtt://127.0.0.1:1"), mqttbroker.WithOutbox(store),
		mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, big := t.Context(), make([]byte, 300<<10)
	over, cancel := context.WithCancel(ctx)
	cancel()
	for name, tt := range map[string]struct {
		ctx     context.Context
		topic   string
		payload []byte
		opts    []event.CallOption
		reason  event.Reason
		code    int
	}{
		"topic":       {ctx, "a/#", nil, nil, event.ReasonBadTopic, 400},
		"no topic":    {ctx, "", nil, nil, event.ReasonBadTopic, 400},
		"size":        {ctx, "a", big, nil, event.ReasonTooLarge, 413},
		"QoS":         {ctx, "a", nil, []event.CallOption{event.QoS(3)}, event.ReasonBadRequest, 400},
		"header":      {ctx, "a", nil, []event.CallOption{event.Header("k", "\xff")}, event.ReasonBadRequest, 400},
		"context":     {over, "a", nil, nil, event.ReasonCanceled, 499},
		"nil context": {nil, "a", nil, nil, event.ReasonBadRequest, 400},
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, p.Publish(tt.ctx, tt.topic, tt.payload, tt.opts...), tt.reason, tt.code)
			err := p.PublishAsync(tt.ctx, tt.topic, tt.payload, func(error) { t.Error("called back") }, tt.opts...)
			wantReason(t, err, tt.reason, tt.code)
		})
	}
	wantReason(t, b.Publish(ctx, "a", broker.NewMessage(func() {})), event.ReasonCodec, 400)
	if n := depth(t, store); n != 0 {
		t.Fatalf("%d messages were accepted", n)
	}
	publish(t, b, "a", 1)
	publish(t, b, "a", 2)
	for range 3 {
		if e := wantReason(t, b.Publish(ctx, "a", broker.NewMessage(3)), event.ReasonOutboxFull, 503); e.MayHaveBeenSent {
			t.Error("what was refused may have been sent")
		}
	}
	wantReason(t, p.Publish(ctx, "a", nil), event.ReasonOutboxFull, 503)
	_ = store.Close()
	for range 2 {
		wantReason(t, b.Publish(ctx, "a", broker.NewMessage(4)), event.ReasonOutboxFailed, 503)
	}
	mqtttest.Eventually(t, patience, func() bool {
		return slices.Equal(spy.kinds(), []event.OutboxKind{event.OutboxFull, event.OutboxFailed})
	})
	if out.count("the outbox is full") != 1 || out.count("the outbox fails") != 1 {
		t.Error("not logged once")
	}
	if b.Health().Outbox.Err == nil {
		t.Error("a closed store is healthy")
	}
}

func TestOutboxIsChecked(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]broker.Option{
		"no store": mqttbroker.WithOutbox(nil),
		"hold":     mqttbroker.WithOutbox(memory(t, 0), mqttbroker.OutboxKeepAcknowledged(-1), nil),
		"poll":     mqttbroker.WithOutbox(memory(t, 0), mqttbroker.OutboxPollInterval(-1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantReason(t, open(t, "mqtt://127.0.0.1:1", opt).Init(), event.ReasonBadRequest, 400)
		})
	}
}

// QoS 0, direct publishes and requests do not wait in the outbox.
func TestPastTheOutbox(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	closed := make(chan struct{})
	gate := mqttbroker.OutboxGate(func(ctx context.Context) error {
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	store := memory(t, 0)
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store, gate))
	got := subscribe(t, b, "past")
	publish(t, b, "past", "kept")
	publish(t, b, "past", "qos 0", mqttbroker.WithPublishQos(0))
	publish(t, b, "past", "direct", mqttbroker.WithCallOptions(event.SkipOutbox()))
	if err := publisher(t, url, "5", mqttbroker.WithOutbox(memory(t, 0))).Publish(within(t, patience), "past", []byte(`"native"`), event.SkipOutbox()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"qos 0", "direct", "native"} {
		if m := receive(t, got); strings.Trim(m.body, `"`) != want {
			t.Errorf("got %s, want %s", m.body, want)
		}
	}
	_, err := mqttbroker.Request[string](within(t, 3*time.Second), b, "past", "request")
	wantReason(t, err, event.ReasonTimeout, 504)
	if m := receive(t, got); m.body != "request" && m.body != `"request"` {
		t.Errorf("got %s", m.body)
	}
	if n := depth(t, store); n != 1 {
		t.Errorf("%d in the outbox, want 1", n)
	}
	close(closed)
	if m := receive(t, got); strings.Trim(m.body, `"`) != "kept" {
		t.Errorf("got %s", m.body)
	}
	wantDepth(t, store, 0)
}

// A gate that fails or panics is called again, and does not delay a stop.
func TestOutboxGate(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	store := memory(t, 0)
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithOutbox(store, mqttbroker.OutboxGate(func(context.Context) error {
		switch asked.Add(1) {
		case 1:
			return errors.New("not yet")
		case 2:
			panic("gate")
		}
		return nil
	})))
	publish(t, b, "a", "x")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { return out.count("the outbox is held back error.message=not yet") == 1 })
	started := time.Now()
	if err := b.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > patience/2 || depth(t, store) != 1 {
		t.Errorf("stopped after %v with %d in the outbox", took, depth(t, store))
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	wantDepth(t, store, 0)
}

// Callbacks of asynchronous publishes run once the store has the messages, in order,
// including publishes that a callback makes.
func TestOutboxAsync(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	store := memory(t, 1000)
	p, err := mqttbroker.NewPublisher(broker.WithAddress(url), mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithOutbox(store),
		mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	ctx, told := within(t, patience), make(chan error, 2000)
	const n = 500
	for i := range n {
		payload := fmt.Append(nil, i)
		if i%50 == 49 { // queued behind the others
			if err := p.Publish(ctx, "async", payload); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := p.PublishAsync(ctx, "async", payload, func(err error) { told <- err }); err != nil {
			t.Fatal(err)
		}
		copy(payload, "XXX") // the caller may reuse it after Publish returned
	}
	for range n - n/50 {
		if err := receive(t, told); err != nil {
			t.Fatal(err)
		}
	}
	inner := make(chan error, 1)
	if err := p.PublishAsync(ctx, "other", nil, func(error) { inner <- p.Publish(ctx, "other", nil) }); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, inner); err != nil {
		t.Fatal(err)
	}
	entries, err := store.Read(ctx, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries[:n] {
		if string(e.Payload) != fmt.Sprint(i) {
			t.Fatalf("entry %d is %s", i, e.Payload)
		}
	}
	for i := range 600 { // fills the store
		if err := p.PublishAsync(ctx, "async", fmt.Append(nil, i), func(err error) { told <- err }); err != nil {
			t.Fatal(err)
		}
	}
	full := 0
	for range 600 {
		if err := receive(t, told); err != nil {
			wantReason(t, err, event.ReasonOutboxFull, 503)
			full++
		}
	}
	if want := 600 - (1000 - n - 2); full != want {
		t.Errorf("%d were refused, want %d", full, want)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	wantDepth(t, store, 0)
}

// ctxStore passes on the contexts of Append.
type ctxStore struct {
	outbox.Store
	seen chan context.Context
}

func (s ctxStore) Append(ctx context.Context, entries ...*outbox.Entry) error {
	s.seen <- ctx
	return s.Store.Append(ctx, entries...)
}

// A transaction in the context reaches the store, whichever options limit the call.
func TestOutboxSeesTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	store := ctxStore{memory(t, 0), make(chan context.Context, 10)}
	b := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithOutbox(store), broker.WithPublishMiddlewares(
		func(next broker.PublishHandler) broker.PublishHandler { return next }))
	ctx := context.WithValue(t.Context(), key{}, "tx")
	for _, opts := range [][]broker.PublishOption{nil, {broker.WithPublishTimeout(time.Minute)}, {broker.WithPublishRetries(3)}} {
		if err := b.Publish(ctx, "a", broker.NewMessage("x"), opts...); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, store.seen); got.Value(key{}) != "tx" {
			t.Errorf("%v: the store does not see the transaction", opts)
		}
	}
	if n := depth(t, store); n != 3 {
		t.Errorf("%d in the outbox", n)
	}
}

// Concurrent Start and Stop leave no goroutine running.
func TestOutboxStartAndStop(t *testing.T) {
	t.Parallel()
	store := memory(t, 0)
	b := open(t, mqtttest.InProcess(t).URL(), mqttbroker.WithOutbox(store))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				_ = b.Connect()
				_ = b.Publish(within(t, patience), "a", broker.NewMessage("x"))
				_ = b.Disconnect()
			}
		})
	}
	wg.Wait()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	wantDepth(t, store, 0)
}
