package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func with(opts ...event.CallOption) broker.PublishOption { return mqttbroker.WithCallOptions(opts...) }

// Generated calls and Publish delay messages in an outbox; those that
// are not delayed go ahead.
func TestDelayedPublish(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			url := mqtttest.InProcess(t).URL()
			got := subscribe(t, connected(t, url), "a/#")
			store := memory(t, 0)
			b := connected(t, url, mqttbroker.WithProtocol(protocol), mqttbroker.WithOutbox(store))
			const delay = 300 * time.Millisecond
			began := time.Now()
			publish(t, b, "a/b", "later", with(event.After(delay)))
			publish(t, b, "a/b", "at", with(event.At(began.Add(2*delay))))
			events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
			if err := events.SaveEventReport(within(t, patience), &reportv1.RealTimeWarehousingData{EventId: "7"}, event.After(time.Hour)); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "a/b", "now")
			publish(t, b, "a/b", "past", with(event.At(time.Unix(1, 0))))
			publish(t, b, "a/b", "not delayed", with(event.After(time.Hour), event.After(0)))
			for _, want := range []string{"now", "past", "not delayed", "later", "at"} {
				if s := receive(t, got); strings.Trim(s.body, `"`) != want {
					t.Fatalf("received %v, want %v", s.body, want)
				}
				if want == "later" && time.Since(began) < delay {
					t.Errorf("received after %v", time.Since(began))
				}
			}
			h := b.Health().Outbox
			if h.Delayed != 1 || h.NextDue.Before(began.Add(59*time.Minute)) {
				t.Errorf("Health: %+v", h)
			}
			list, err := b.Delayed(t.Context(), nil, 10)
			if err != nil || len(list) != 1 || list[0].ID != "7" || list[0].Topic != "reports/event" {
				t.Errorf("Delayed: %v, %v", list, err)
			}
			if n, err := b.CancelDelayed(t.Context(), "7"); n != 1 || err != nil {
				t.Errorf("CancelDelayed: %d, %v", n, err)
			}
			if n, err := b.CancelDelayed(t.Context(), "7"); n != 0 || err != nil {
				t.Errorf("CancelDelayed again: %d, %v", n, err)
			}
		})
	}
}

// What cannot be delayed is an error, and nothing is sent.
func TestDelayedPublishRefused(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	without, kept := connected(t, url), connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(memory(t, 0)))
	later := event.After(time.Hour)
	for name, c := range map[string]struct {
		b    *mqttbroker.Broker
		opts []event.CallOption
		text string
	}{
		"no outbox":        {without, []event.CallOption{later}, "needs an outbox"},
		"QoS 0":            {kept, []event.CallOption{later, event.QoS(0)}, "QoS 0"},
		"skips the outbox": {kept, []event.CallOption{later, event.SkipOutbox()}, "skip the outbox"},
	} {
		err := c.b.Publish(within(t, patience), "t", broker.NewMessage("x"), with(c.opts...))
		if e := wantReason(t, err, event.ReasonUnsupported, http.StatusNotImplemented); e == nil || !strings.Contains(e.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := mqttbroker.NewPublisher(broker.WithAddress(url))
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, p.Publish(within(t, patience), "t", []byte("x"), later), event.ReasonUnsupported, http.StatusNotImplemented)
	in := new(reportv1.RealTimeWarehousingData)
	err = mqttbroker.NewClientConn(kept).Request(within(t, patience), &event.MethodDesc{Codec: "proto", QoS: 1}, "t", in, in, later)
	wantReason(t, err, event.ReasonBadRequest, http.StatusBadRequest)
	if _, err := without.CancelDelayed(t.Context(), "x"); err == nil {
		t.Error("CancelDelayed without an outbox returned no error")
	}
}

// Without an outbox a broker that delays messages itself is asked to.
func TestDelayedByTheBroker(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	got := subscribe(t, connected(t, url), "$delayed/#")
	b := connected(t, url, mqttbroker.WithPreset("emqx"), mqttbroker.WithProtocol("5"))
	publish(t, b, "a/b", "x", with(event.After(89*time.Second+time.Millisecond)))
	publish(t, b, "a/b", "x", with(event.After(time.Millisecond), event.QoS(0)))
	topics := []string{receive(t, got).topic, receive(t, got).topic}
	slices.Sort(topics)
	if topics[0] != "$delayed/1/a/b" || topics[1] != "$delayed/90/a/b" && topics[1] != "$delayed/89/a/b" {
		t.Errorf("published to %v", topics)
	}
	err := b.Publish(within(t, patience), "a/b", broker.NewMessage("x"), with(event.After(50*24*time.Hour)))
	wantReason(t, err, event.ReasonBadRequest, http.StatusBadRequest)
}

// A message is delayed, or cancelled, when the transaction that it is part of commits.
func TestDelayedInATransaction(t *testing.T) {
	t.Parallel()
	store, db := sqlStore(t, outboxsql.Options{})
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithOutbox(store))
	within := within(t, patience)
	errBack := errors.New("rolled back")
	run := func(outcome error, do func(ctx context.Context) error) {
		t.Helper()
		err := sqltx.Run(within, db, func(ctx context.Context) error { return errors.Join(do(ctx), outcome) })
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
	}
	delay := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			return b.Publish(ctx, "t", broker.NewMessage("x"), with(event.After(time.Hour), event.ID(id)))
		}
	}
	cancel := func(ctx context.Context) error {
		n, err := b.CancelDelayed(ctx, "1")
		if n != 1 {
			err = errors.Join(err, fmt.Errorf("%d are cancelled", n))
		}
		return err
	}
	want := func(ids ...string) {
		t.Helper()
		list, err := b.Delayed(within, nil, 10)
		var got []string
		for _, e := range list {
			got = append(got, e.ID)
		}
		if err != nil || !slices.Equal(got, ids) {
			t.Fatalf("delayed: %v, %v; want %v", got, err, ids)
		}
		mqtttest.Eventually(t, patience, func() error { // a count beside a transaction may be wrong for a second
			if n := b.Health().Outbox.Delayed; n != len(ids) {
				return fmt.Errorf("Health has %d delayed, want %d", n, len(ids))
			}
			return nil
		})
	}
	run(nil, delay("1"))
	run(errBack, delay("2"))
	want("1")
	run(errBack, cancel)
	want("1")
	run(nil, cancel)
	want()
}

// A message is never received before it is due, and soon after it.
func TestDelayedPrecision(t *testing.T) {
	t.Parallel()
	file, err := outboxfile.Open(filepath.Join(t.TempDir(), "outbox"), outboxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	table, _ := sqlStore(t, outboxsql.Options{})
	for name, store := range map[string]outbox.Store{"memory": memory(t, 0), "file": file, "sqlite": table} {
		t.Run(name, func(t *testing.T) {
			const messages = 200
			url := mqtttest.InProcess(t).URL()
			late := make(chan time.Duration, messages)
			_, err := connected(t, url).Subscribe("t", func(_ context.Context, e broker.Event) error {
				var due int64
				if _, err := fmt.Sscan(string(e.Message().Body.([]byte)), &due); err != nil {
					return err
				}
				late <- time.Since(time.UnixMicro(due))
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := connected(t, url, mqttbroker.WithOutbox(store))
			for i := range messages {
				due := time.Now().Add(time.Duration(100+i*7%500) * time.Millisecond)
				publish(t, b, "t", due.UnixMicro(), with(event.At(due)))
			}
			var all []time.Duration
			for range messages {
				all = append(all, receive(t, late))
			}
			slices.Sort(all)
			t.Logf("figure: received %v to %v after it was due, half within %v", all[0], all[messages-1], all[messages/2])
			if all[0] < 0 {
				t.Errorf("received %v before it was due", -all[0])
			}
		})
	}
}
