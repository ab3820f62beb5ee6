package mqtt_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// of returns the infos of one kind.
func (s *outboxSpy) of(kind event.OutboxKind) (list []event.OutboxInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.seen {
		if i.Kind == kind {
			list = append(list, i)
		}
	}
	return list
}

// want waits for n infos of one kind.
func (s *outboxSpy) want(t testing.TB, kind event.OutboxKind, n int) []event.OutboxInfo {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if list := s.of(kind); len(list) != n {
			return fmt.Errorf("told %d times of %v, want %d: %+v", len(list), kind, n, list)
		}
		return nil
	})
	return s.of(kind)
}

// A message that nobody subscribes to is sent again if the option requests it, and
// delays only its own key. Without the option it counts as delivered and is reported.
// The broker keeps a retained message in any case.
func TestOutboxRetriesUnrouted(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	spy, store := new(outboxSpy), memory(t, 0)
	b, _ := logged(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	sub := connected(t, url, mqttbroker.WithProtocol("5"))
	others := subscribe(t, sub, "others/#")
	retry := mqttbroker.WithCallOptions(event.RetryUnrouted(0))
	publish(t, b, "late", "1", retry)
	publish(t, b, "late", "2", retry)
	publish(t, b, "kept", "x", retry, mqttbroker.WithPublishRetained(true))
	publish(t, b, "nobody", "x")
	for i := range 20 {
		publish(t, b, fmt.Sprintf("others/%d", i), "x")
		receive(t, others)
	}
	wantDepth(t, store, 2)
	h := b.Health()
	if h.Outbox.ClosedKeys != 1 || h.Outbox.Unrouted != 1 || h.Unrouted != 1 || h.Outbox.RefusedError != nil {
		t.Errorf("%d closed keys, %d unrouted in the outbox, %d in all, refused %v", h.Outbox.ClosedKeys, h.Outbox.Unrouted, h.Unrouted, h.Outbox.RefusedError)
	}
	if told := spy.want(t, event.OutboxUnrouted, 1); told[0].Topic != "nobody" || told[0].ID == "" || told[0].Health.Unrouted != 1 {
		t.Errorf("hook was told %+v", told)
	}
	got := subscribe(t, sub, "late")
	for _, want := range []string{"1", "2"} {
		if m := receive(t, got); strings.Trim(m.body, `"`) != want {
			t.Errorf("got %s, want %s", m.body, want)
		}
	}
	wantDepth(t, store, 0)
}

// After its time limit an unrouted message counts as delivered, and the messages after
// it are sent.
func TestOutboxGivesUpOnUnrouted(t *testing.T) {
	t.Parallel()
	spy, store := new(outboxSpy), memory(t, 0)
	p := publisher(t, mqtttest.Mosquitto(t).URL(), "5", mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
	for range 3 {
		if err := p.Publish(within(t, patience), "nobody", nil, event.RetryUnrouted(500*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	wantDepth(t, store, 0)
	spy.want(t, event.OutboxUnrouted, 3)
}

// The policy of an operation: the call takes precedence over the configuration, and the
// configuration over the method.
func TestOutboxUnroutedByOperation(t *testing.T) {
	t.Parallel()
	method := &event.MethodDesc{Name: "M", Operation: "/p.S/M", QoS: 1, Codec: "proto"}
	asked := &event.MethodDesc{Name: "R", Operation: "/p.S/R", QoS: 1, Codec: "proto", Unrouted: &event.Unrouted{Retry: true, MaxAge: time.Minute}}
	for name, tt := range map[string]struct {
		method *event.MethodDesc
		opts   []mqttbroker.OutboxOption
		call   []event.CallOption
		want   time.Duration
	}{
		"default":       {method: method},
		"method":        {method: asked, want: time.Minute},
		"configuration": {method: method, opts: []mqttbroker.OutboxOption{mqttbroker.OutboxWhenUnrouted("/p.S/M", event.Unrouted{Retry: true})}, want: time.Hour},
		"taken back":    {method: asked, opts: []mqttbroker.OutboxOption{mqttbroker.OutboxWhenUnrouted("/p.S/R", event.Unrouted{})}},
		"call":          {method: method, call: []event.CallOption{event.RetryUnrouted(time.Second)}, want: time.Second},
		"call accepts":  {method: asked, call: []event.CallOption{event.AcceptUnrouted()}},
		"retained":      {method: asked, call: []event.CallOption{event.Retain(true)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memory(t, 0)
			b := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithOutbox(store, tt.opts...))
			if err := mqttbroker.NewClientConn(b).Publish(t.Context(), tt.method, "a", newString("x"), tt.call...); err != nil {
				t.Fatal(err)
			}
			list, err := store.Read(t.Context(), 0, 1)
			if err != nil || len(list) != 1 || list[0].RetryUnrouted != tt.want {
				t.Errorf("kept %+v, %v; want %v", list, err, tt.want)
			}
		})
	}
}

// A message that expires while it waits is not sent, on either version.
func TestOutboxDropsExpired(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	bothProtocols(t, func(t *testing.T, protocol string) {
		topic := "expires/" + protocol
		got := subscribe(t, connected(t, url, mqttbroker.WithProtocol(protocol)), topic)
		spy, store := new(outboxSpy), memory(t, 0)
		b, out := logged(t, url, mqttbroker.WithProtocol(protocol), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
		publish(t, b, topic, "old", mqttbroker.WithCallOptions(event.Expiry(10*time.Millisecond)))
		publish(t, b, topic, "young", mqttbroker.WithCallOptions(event.Expiry(time.Hour)))
		mqtttest.Eventually(t, patience, func() bool { return b.Health().Outbox.Age > 10*time.Millisecond })
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, got); strings.Trim(m.body, `"`) != "young" {
			t.Errorf("got %s", m.body)
		}
		wantDepth(t, store, 0)
		if h := b.Health().Outbox; h.Expired != 1 || out.count("expired in the outbox") != 1 {
			t.Errorf("%+v; not counted and logged once", h)
		}
		if told := spy.want(t, event.OutboxExpired, 1); told[0].Topic != topic || told[0].Health.Expired != 1 {
			t.Errorf("hook was told %+v", told)
		}
	})
}

// A message is not sent either if it expires while it is the next one and waits for a
// connection.
func TestOutboxDropsWhatExpiresOnItsWay(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	bothProtocols(t, func(t *testing.T, protocol string) {
		topic := "expires/" + protocol
		got := subscribe(t, connected(t, url, mqttbroker.WithProtocol(protocol)), topic)
		proxy, store := mqtttest.NewProxy(t, url), memory(t, 0)
		b := connected(t, proxy.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithOutbox(store))
		proxy.Refuse(true)
		proxy.Cut()
		mqtttest.Eventually(t, patience, func() bool { return !b.Health().Ready })
		for range 3 {
			publish(t, b, topic, "old", mqttbroker.WithCallOptions(event.Expiry(300*time.Millisecond)))
		}
		publish(t, b, topic, "young", mqttbroker.WithCallOptions(event.Expiry(time.Hour)))
		mqtttest.Eventually(t, patience, func() bool { return b.Health().Outbox.Age > 300*time.Millisecond })
		proxy.Refuse(false)
		if m := receive(t, got); strings.Trim(m.body, `"`) != "young" {
			t.Errorf("got %s", m.body)
		}
		wantDepth(t, store, 0)
		if h := b.Health().Outbox; h.Expired != 3 {
			t.Errorf("%+v, want 3 expired", h)
		}
	})
}

// A message with a bad key fails alone, and so does one that the store refuses.
func TestOutboxBadKeyFailsAlone(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store, err := outboxsql.New(db, outboxsql.Options{Dialect: sqltx.SQLite})
	if err == nil {
		err = store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	spy := new(outboxSpy)
	p := publisher(t, "mqtt://127.0.0.1:1", "5", mqttbroker.WithOutbox(pickyStore{store}), mqttbroker.WithHooks(spy))
	ctx, told := within(t, patience), make(chan error, 1000)
	want, refused := 0, 0
	for i := range 200 {
		key, topic := fmt.Sprintf("order-%d", i%7), "orders"
		switch i % 50 {
		case 20:
			key = "\xff"
		case 30:
			key = "a\x00b"
		case 40:
			key = strings.Repeat("x", 1<<16)
		case 45:
			topic = "picky"
			refused++
		}
		err := p.PublishAsync(ctx, topic, []byte("x"), func(err error) { told <- err }, event.OrderingKey(key))
		if i%50 == 20 || i%50 == 30 || i%50 == 40 {
			wantReason(t, err, event.ReasonBadRequest, 400)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		want++
	}
	failed := 0
	for range want {
		if err := receive(t, told); err != nil {
			if !errors.Is(err, errPicky) {
				t.Fatal(err)
			}
			failed++
		}
	}
	if failed != refused || depth(t, store) != want-refused {
		t.Errorf("%d failed, want %d; %d in the outbox, want %d", failed, refused, depth(t, store), want-refused)
	}
}

var errPicky = errors.New("not this one")

// pickyStore refuses messages to one topic.
type pickyStore struct{ outbox.Store }

func (s pickyStore) Append(ctx context.Context, entries ...*outbox.Entry) error {
	for _, e := range entries {
		if e.Topic == "picky" {
			return errPicky
		}
	}
	return s.Store.Append(ctx, entries...)
}

// Messages that were put aside can be listed, put back and dropped.
func TestOutboxPutBack(t *testing.T) {
	t.Parallel()
	const tooLarge = 0x95
	url, got := publishFails(t, tooLarge, tooLarge)
	store := memory(t, 0)
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store, mqttbroker.OutboxRefusedLimit(0, 1)))
	publish(t, b, "a", "first")
	publish(t, b, "b", "second")
	receive(t, got)
	receive(t, got)
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Outbox.Quarantined == 2 })

	ctx := within(t, patience)
	list, err := b.Quarantined(ctx, 0, 10)
	if err != nil || len(list) != 2 || list[0].Entry == nil || list[0].Reason == "" {
		t.Fatalf("listed %+v, %v", list, err)
	}
	if err := errors.Join(b.DeleteQuarantined(ctx, list[1].Seq), b.RetryQuarantined(ctx, list[0].Seq)); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, got); !strings.HasSuffix(m, string(list[0].Entry.Payload)) {
		t.Errorf("sent %q, want %q", m, list[0].Entry.Payload)
	}
	wantDepth(t, store, 0)
	if h := b.Health().Outbox; h.Quarantined != 0 {
		t.Errorf("%d are still quarantined", h.Quarantined)
	}
	none := open(t, url)
	wantReason(t, none.RetryQuarantined(ctx, 1), event.ReasonBadRequest, 400)
	_ = store.Close()
	_, err = b.Quarantined(ctx, 0, 1)
	wantReason(t, err, event.ReasonOutboxFailed, 503)
}

// A message that nobody subscribes to stays in the outbox, and a stop does not wait for
// it until its time is up.
func TestOutboxStopLeavesWhatIsUnrouted(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(memory(t, 0)))
	publish(t, b, "nobody", "x", mqttbroker.WithCallOptions(event.RetryUnrouted(0)))
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Outbox.ClosedKeys == 1 })
	began := time.Now()
	if err := b.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("the stop took %v", took)
	}
}
