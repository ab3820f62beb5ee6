package mqtt_test

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// SUBSCRIBE makes the broker send retained messages, so one retained heartbeat made a
// dead device look alive at every start and reconnect. A method that ignores retained
// messages does not receive it. It does receive a message that is published with the
// retain flag while it is subscribed. With one message in flight, the next one arrives
// only after the previous one is acknowledged.
func TestARetainedMessageIsNotFresh(t *testing.T) {
	t.Parallel()
	on, off := true, false
	configured := func(ignore *bool) mqttserver.ServerOption {
		return mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{"/test.Texts/Tell": {IgnoreRetained: ignore}}}))
	}
	batch := func(m *event.MethodDesc, got chan<- string) event.RegisterOption {
		return eventimpl.NewBatch(m, func(_ context.Context, in []*wrapperspb.StringValue) error {
			for _, v := range in {
				got <- v.GetValue()
			}
			return nil
		}, event.BatchSize(1))
	}
	tests := map[string]struct {
		proto   bool
		server  []mqttserver.ServerOption
		options []event.RegisterOption
		batch   bool
		ignored bool
	}{
		"default":                  {},
		"proto":                    {proto: true, ignored: true},
		"registration":             {options: []event.RegisterOption{event.IgnoreRetained(true, "Tell")}, ignored: true},
		"registration of all":      {options: []event.RegisterOption{event.IgnoreRetained(true)}, ignored: true},
		"not by registration":      {proto: true, options: []event.RegisterOption{event.IgnoreRetained(false)}},
		"configuration":            {server: []mqttserver.ServerOption{configured(&on)}, ignored: true},
		"not by configuration":     {proto: true, server: []mqttserver.ServerOption{configured(&off)}},
		"in batches":               {proto: true, batch: true, ignored: true},
		"in batches, as a default": {batch: true},
	}
	for name, tt := range tests {
		for _, version := range []string{"3.1.1", "5"} {
			t.Run(name+", "+version, func(t *testing.T) {
				t.Parallel()
				c := carrier{mqtttest.Mosquitto(t, mqtttest.WithMaxInflight(1)).URL(), mqttbroker.WithProtocol(version), false}
				sender := c.broker(t, broker.WithCodec(""))
				tell := func(topic string) {
					t.Helper()
					payload, err := proto.Marshal(wrapperspb.String(topic))
					if err == nil {
						err = sender.Publish(within(t, patience), "texts/"+topic, broker.NewMessage(payload), mqttbroker.WithPublishRetained(true))
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				tell("old")
				for run := range 2 { // a start with a session at the broker is like the first one
					d := textService()
					m := &d.Methods[0]
					m.IgnoreRetained = tt.proto
					got := make(chan string, 10)
					opts := tt.options
					if tt.batch {
						opts = append(opts, batch(m, got))
					}
					srv := c.server(t, append(tt.server, mqttserver.WithClientId("app"), mqttserver.WithCodec("proto"))...)
					srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(m, func(_ context.Context, in *wrapperspb.StringValue) (*emptypb.Empty, error) {
						got <- in.GetValue()
						return nil, nil
					}, bindText)}, opts...)
					start(t, srv)
					if !tt.ignored {
						if v := receive(t, got); v != "old" {
							t.Fatalf("run %d: got %q, want what the broker had kept", run, v)
						}
					}
					tell("old") // the broker sends it without the flag
					if v := receive(t, got); v != "old" {
						t.Fatalf("run %d: got %q", run, v)
					}
					want := int64(0)
					if tt.ignored && version == "3.1.1" {
						want = 1 // on 5 it is not sent
					}
					if n := srv.Health().RetainedIgnored; n != want {
						t.Errorf("run %d: %d ignored, want %d", run, n, want)
					}
					if err := srv.Stop(within(t, patience)); err != nil {
						t.Fatal(err)
					}
					if len(got) > 0 {
						t.Errorf("run %d: got %q", run, <-got)
					}
				}
			})
		}
	}
}

// After a loss of the connection the broker sends its retained messages again: on MQTT
// 3.1.1, and if the session was lost.
func TestRetainedIsIgnoredAfterAReconnect(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, b *mqtttest.InProcessBroker) {
		sender := c.broker(t)
		old := func() error {
			return sender.Publish(within(t, patience), "a/1", broker.NewMessage(reading{1}), mqttbroker.WithPublishRetained(true))
		}
		if err := old(); err != nil {
			t.Fatal(err)
		}
		got, connected := make(chan string, 10), make(chan bool, 10)
		srv := c.server(t, mqttserver.WithClientId("app"), mqttserver.WithOnConnect(func() { connected <- true }))
		register(t, srv, "a/+", into(got), mqttbroker.WithSubscribeIgnoreRetained())
		start(t, srv)
		receive(t, connected)
		if b.Cut("app") != 1 {
			t.Fatal("no connection is cut")
		}
		receive(t, connected)
		if err := srv.WaitReady(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if err := sender.Publish(within(t, patience), "a/2", broker.NewMessage(reading{})); err != nil {
			t.Fatal(err)
		}
		if topic := receive(t, got); topic != "a/2" {
			t.Errorf("got %q", topic)
		}
	})
}

// Subscriptions with the same filter are one subscription at the broker. It sends its
// retained messages if one of them wants them; the others ignore those by their flag,
// whichever subscribed first.
func TestRetainedIsIgnoredBesideOthersThatWantIt(t *testing.T) {
	t.Parallel()
	for _, filters := range [][2]string{{"a/+", "a/+"}, {"a/+", "a/#"}} {
		for name, late := range map[string]bool{"at once": false, "later": true} {
			t.Run(filters[1]+" "+name, func(t *testing.T) {
				t.Parallel()
				c := carrier{mqtttest.Mosquitto(t, mqtttest.WithMaxInflight(1)).URL(), mqttbroker.WithProtocol("5"), false}
				sender := c.broker(t)
				if err := sender.Publish(within(t, patience), "a/1", broker.NewMessage(reading{}), mqttbroker.WithPublishRetained(true)); err != nil {
					t.Fatal(err)
				}
				wants, ignores := make(chan string, 10), make(chan string, 10)
				srv := c.server(t)
				register(t, srv, filters[0], into(ignores), mqttbroker.WithSubscribeIgnoreRetained())
				if late {
					start(t, srv)
				}
				register(t, srv, filters[1], into(wants))
				if !late {
					start(t, srv)
				}
				if topic := receive(t, wants); topic != "a/1" {
					t.Errorf("got %q", topic)
				}
				if err := sender.Publish(within(t, patience), "a/2", broker.NewMessage(reading{})); err != nil {
					t.Fatal(err)
				}
				if topic := receive(t, ignores); topic != "a/2" {
					t.Errorf("got %q", topic)
				}
				if topic := receive(t, wants); topic != "a/2" {
					t.Errorf("got %q", topic)
				}
				if filters[0] == filters[1] {
					if n := srv.Health().RetainedIgnored; n != 1 {
						t.Errorf("%d ignored, want 1", n)
					}
				}
			})
		}
	}
}

// Ignored messages are acknowledged by this package, even if the handler acknowledges
// manually.
func TestRetainedIsIgnoredWithoutAutomaticAcknowledgement(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.Mosquitto(t, mqtttest.WithMaxInflight(1)).URL(), mqttbroker.WithProtocol("3.1.1"), false}
	sender := c.broker(t)
	if err := sender.Publish(within(t, patience), "a/1", broker.NewMessage(reading{}), mqttbroker.WithPublishRetained(true)); err != nil {
		t.Fatal(err)
	}
	srv := c.server(t)
	got := make(chan string, 10)
	err := srv.RegisterSubscriber(t.Context(), "a/+", func(_ context.Context, e broker.Event) error {
		got <- e.Topic()
		return e.Ack()
	}, nil, broker.DisableAutoAck(), mqttbroker.WithSubscribeIgnoreRetained())
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	if err := sender.Publish(within(t, patience), "a/2", broker.NewMessage(reading{})); err != nil {
		t.Fatal(err)
	}
	if topic := receive(t, got); topic != "a/2" {
		t.Errorf("got %q", topic)
	}
}
