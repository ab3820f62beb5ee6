package roundtrip

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// got is a call of a handler.
type got struct {
	in        *plant.Reading
	operation string
	topic, id string
	params    map[string]string
	header    []string
}

func saw(ch chan got) func(context.Context, *plant.Reading) error {
	return func(ctx context.Context, in *plant.Reading) error {
		tr, ok := mqttserver.FromContext(ctx)
		if !ok {
			return errors.New("no transport")
		}
		ch <- got{in, tr.Operation(), tr.Topic(), tr.ID(), tr.Params(), tr.RequestHeader().Values("lot")}
		return nil
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		ch := make(chan got, 10)
		var seen []string
		srv, _ := p.server(t, mqttserver.Middleware(func(next middleware.Handler) middleware.Handler {
			return func(ctx context.Context, req any) (any, error) {
				seen = append(seen, req.(*plant.Reading).GetDevice()) // bound before middleware runs
				return next(ctx, req)
			}
		}))
		plant.RegisterPlantEventsMQTTServer(srv, &service{measured: saw(ch), shown: saw(ch)},
			event.FilterPrefix("site/+"), event.Only("Measured", "Shown"), event.Group("savers"))
		start(t, srv)
		client, b := p.client(t, mqttbroker.TopicPrefix("site/a/"))
		ctx := within(t)
		must(t, client.Measured(ctx, &plant.Reading{Id: "m1", Device: "d1", Value: 7},
			event.Header("lot", "a"), event.Header("lot", "b")))
		m := receive(t, ch)
		if m.in.GetValue() != 7 || m.operation != "/golden.plant.PlantEvents/Measured" || m.topic != "site/a/plant/measured/d1" ||
			m.id != "m1" || !maps.Equal(m.params, map[string]string{"device": "d1"}) || p.protocol == "5" && strings.Join(m.header, "") != "ab" {
			t.Errorf("got %+v", m)
		}
		must(t, client.Shown(ctx, &plant.Reading{Device: "d2", Value: 8}))
		if m := receive(t, ch); m.in.GetValue() != 8 || m.operation != "/golden.plant.PlantEvents/Shown" {
			t.Errorf("got %+v", m)
		}
		// A device with other software leaves out the fields of its topic, or contradicts it.
		must(t, b.Publish(ctx, "site/b/plant/old/d3/shown", []byte(`{"value":"9"}`)))
		if m := receive(t, ch); m.in.GetDevice() != "d3" || m.in.GetValue() != 9 || m.params["device"] != "d3" {
			t.Errorf("got %+v", m)
		}
		if n := srv.Health().TopicMismatches; n != 0 {
			t.Errorf("%d mismatches", n)
		}
		must(t, b.Publish(ctx, "site/b/plant/shown/d4", []byte(`{"device":"evil"}`)))
		if m := receive(t, ch); m.in.GetDevice() != "d4" || srv.Health().TopicMismatches != 1 {
			t.Errorf("got %+v, %+v", m, srv.Health())
		}
	})
}

func TestRequests(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		var opts []mqttserver.ServerOption
		if p.protocol != "5" {
			p.extra = []broker.Option{mqttbroker.WithCloudEvents("/plant")}
		}
		srv, _ := p.server(t, opts...)
		ask := func(_ context.Context, in *plant.Reading) (*plant.Answer, error) {
			if in.GetValue() < 0 {
				return nil, kerrors.BadRequest("NEGATIVE", "no")
			}
			return &plant.Answer{Value: in.GetValue() * 2}, nil
		}
		plant.RegisterPlantEventsMQTTServer(srv, &service{ask: ask}, event.Only("Ask"))
		start(t, srv)
		client, _ := p.client(t)
		if a, err := client.Ask(within(t), &plant.Reading{Device: "d", Value: 21}); err != nil || a.GetValue() != 42 {
			t.Errorf("got %v, %v", a, err)
		}
		if _, err := client.Ask(within(t), &plant.Reading{Device: "d", Value: -1}); kerrors.Reason(err) != "NEGATIVE" {
			t.Errorf("got %v", err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		attempts := make(chan int, 10)
		srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
			"/golden.plant.PlantEvents/Measured": {Exhausted: "dead_letter", RetryBudget: durationpb.New(time.Minute)},
			"/golden.plant.PlantEvents/Shown":    {Exhausted: "dead_letter", Retry: &v1.Retry{MaxAttempts: 1}, DeadLetter: new("elsewhere/{device}")},
		}})))
		fail := func(ctx context.Context, in *plant.Reading) error {
			tr, _ := mqttserver.FromContext(ctx)
			attempts <- tr.Attempt()
			return kerrors.InternalServer(in.GetLot(), "failed")
		}
		plant.RegisterPlantEventsMQTTServer(srv, &service{measured: fail, shown: fail}, event.Except("Ask"), event.FilterPrefix("x"))
		letters := make(chan string, 10)
		_, err := srv.Subscribe("x/+/+", func(_ context.Context, e broker.Event) error {
			letters <- e.Topic()
			return nil
		}, nil)
		must(t, err)
		start(t, srv)
		client, b := p.client(t, mqttbroker.TopicPrefix("x"))
		next := func(want ...int) {
			t.Helper()
			for _, n := range want {
				if a := receive(t, attempts); a != n {
					t.Errorf("attempt %d, want %d", a, n)
				}
			}
		}
		must(t, client.Measured(within(t), &plant.Reading{Device: "twice", Lot: "SLOW"}))
		next(1, 2)
		if l := receive(t, letters); l != "x/dead/twice" {
			t.Errorf("letter on %q", l)
		}
		must(t, client.Measured(within(t), &plant.Reading{Device: "once", Lot: "BROKEN"}))
		next(1)
		if l := receive(t, letters); l != "x/dead/once" {
			t.Errorf("letter on %q", l)
		}
		must(t, b.Publish(within(t), "x/plant/measured/garbage", []byte{0xff, 0xff}))
		if l := receive(t, letters); l != "x/dead/garbage" {
			t.Errorf("letter on %q", l)
		}
		must(t, client.Shown(within(t), &plant.Reading{Device: "config"}))
		next(1)
		if l := receive(t, letters); l != "x/elsewhere/config" {
			t.Errorf("letter on %q", l)
		}
		store, err := srv.DeadLetters()
		must(t, err)
		eventually(t, "four letters", func() bool {
			stats, err := store.Stats(t.Context())
			return err == nil && stats.Dead == 4
		})
	})
}

// The configuration of an operation overrides its options, and is validated in the same
// way.
func TestConfiguredOperations(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*v1.Subscription{
		"a/b":             {Group: new("a/b")},
		`no field "nope"`: {DeadLetter: new("dead/{nope}")},
		`level ""`:        {DeadLetter: new("dead//x")},
	} {
		srv := mqttserver.NewServer(mqttserver.WithAddress([]string{"mqtt://127.0.0.1:1"}), mqttserver.WithCodec("proto"),
			mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"/golden.plant.PlantEvents/Measured": c}})))
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Measured"))
		if err := srv.Start(within(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %s", err, want)
		}
	}
}

func TestStrictTopicAndDedup(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		ch := make(chan got, 10)
		window, err := dedup.NewMemory(dedup.MemoryOptions{})
		must(t, err)
		srv, _ := p.server(t, mqttserver.WithBrokerOptions(mqttbroker.WithDedup(window)))
		plant.RegisterPlantEventsMQTTServer(srv, &service{measured: saw(ch), shown: saw(ch)}, event.StrictTopic(), event.Only("Measured", "Shown"))
		start(t, srv)
		client, b := p.client(t)
		must(t, b.Publish(within(t), "plant/shown/d4", []byte(`{"device":"evil"}`)))
		store, err := srv.DeadLetters()
		must(t, err)
		eventually(t, "a letter", func() bool {
			stats, err := store.Stats(t.Context())
			return err == nil && stats.Dead == 1
		})
		for range 2 {
			must(t, client.Measured(within(t), &plant.Reading{Id: "same", Device: "d"}))
		}
		must(t, client.Measured(within(t), &plant.Reading{Id: "other", Device: "d"}))
		if a, b := receive(t, ch), receive(t, ch); a.id != "same" || b.id != "other" {
			t.Errorf("got %+v and %+v", a, b)
		}
		if h := srv.Health(); h.Duplicates != 1 || h.TopicMismatches != 1 {
			t.Errorf("%+v", h)
		}
	})
}

func TestStartReportsEverything(t *testing.T) {
	t.Parallel()
	p := &place{broker: nil, protocol: "3.1.1", id: "plant-1"}
	srv := mqttserver.NewServer(mqttserver.WithAddress([]string{"mqtt://127.0.0.1:1"}), mqttserver.WithBrokerOptions(
		mqttbroker.WithProtocol(p.protocol), mqttbroker.WithClientId(p.id)))
	register := func(opts ...event.RegisterOption) {
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, opts...)
	}
	register(event.Only("Nothing"))
	register(event.Except("Nobody"), event.Group("a/b"))
	srv.RegisterService(nil, nil)
	for range 2 {
		err := srv.Start(t.Context())
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{
			`no method "Nothing"`, `no method "Nobody"`, "/golden.plant.PlantEvents/Ask replies",
			"both announce their presence", "a/b", "description of the service is nil",
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v\ndoes not say %q", err, want)
			}
		}
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	places(t, func(t *testing.T, p *place) {
		srv, out := p.server(t)
		plant.RegisterPlantEventsMQTTServer(srv, &service{}, event.Only("Measured"))
		other := &event.ServiceDesc{Name: "other.Events", Methods: []event.MethodDesc{{
			Name: "All", Operation: "/other.Events/All", Topic: "plant/{rest=**}", Filters: []string{"plant/#"}, QoS: 1, Codec: "json",
		}}}
		srv.RegisterService(other, []event.Handler{eventimpl.NewHandler(&other.Methods[0], (&service{}).Shown)})
		start(t, srv)
		if text := out.String(); strings.Count(text, "may get the same messages") != 1 ||
			!strings.Contains(text, "/other.Events/All") || !strings.Contains(text, "/golden.plant.PlantEvents/Measured") {
			t.Errorf("log: %s", text)
		}
	})
}
