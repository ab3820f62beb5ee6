package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// reports.md C2: an empty message deletes a retained one, and the broker forwards it to
// subscribers. A JSON handler is not called for it: it is counted and becomes no dead
// letter. A handler that takes bytes, or a format in which an empty payload is a value,
// receives it.
func TestDeletionOfARetainedMessage(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			url, letters := mqtttest.Mosquitto(t).URL(), deadletter.NewMemory(0)
			srv, out := server(t, url,
				mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(letters), mqttbroker.WithProtocol(protocol)))
			typed, raw, protos, batches := make(chan float64, 10), make(chan string, 10), make(chan string, 10), make(chan int, 10)
			register(t, srv, "a/+", func(_ context.Context, _ string, _ broker.Headers, r *reading) error {
				typed <- r.Celsius
				return nil
			})
			err := srv.RegisterSubscriber(t.Context(), "a/#", func(_ context.Context, e broker.Event) error {
				raw <- string(e.Message().Body.([]byte))
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = mqttserver.RegisterSubscriber(srv, t.Context(), "proto",
				func(_ context.Context, _ string, _ broker.Headers, v *wrapperspb.StringValue) error {
					protos <- v.GetValue()
					return nil
				}, mqttbroker.WithSubscribeCodec("proto"))
			if err != nil {
				t.Fatal(err)
			}
			d := textService()
			d.Methods[0].Codec = "json"
			srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(&d.Methods[0],
				func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) { return nil, nil }, bindText)},
				eventimpl.NewBatch(&d.Methods[0], func(_ context.Context, in []*wrapperspb.StringValue) error {
					batches <- len(in)
					return nil
				}, event.BatchSize(2), event.BatchWait(time.Millisecond)))
			start(t, srv)
			p, err := mqttbroker.NewPublisher(broker.WithAddress(url), mqttbroker.WithProtocol(protocol))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Stop(context.Background()) })

			remove := func(topic string) {
				t.Helper()
				if err := p.Publish(within(t, patience), topic, nil, event.Retain(true)); err != nil {
					t.Fatal(err)
				}
			}
			publish(t, srv, "a/b", mqttbroker.WithPublishRetained(true))
			if c := receive(t, typed); c != 21.5 {
				t.Errorf("got %v", c)
			}
			receive(t, raw)
			remove("a/b")
			if body := receive(t, raw); body != "" {
				t.Errorf("a handler of bytes got %q", body)
			}
			publish(t, srv, "a/b") // handled after it
			if c := receive(t, typed); c != 21.5 {
				t.Errorf("the handler of JSON got %v", c)
			}
			remove("proto")
			if v := receive(t, protos); v != "" {
				t.Errorf("got %q", v)
			}
			remove("texts/a")
			mqtttest.Eventually(t, patience, func() bool { return srv.Health().Deletions == 2 }, "it is not counted")
			if len(batches) > 0 {
				t.Errorf("a batch of %d", <-batches)
			}
			if st, err := letters.Stats(t.Context()); err != nil || st.Dead+st.Parked > 0 {
				t.Errorf("%+v, %v", st, err)
			}
			if n := out.count("which deletes a retained one"); n != 2 {
				t.Errorf("the log tells of it %d times, want once for each handler", n)
			}
		})
	}
}

// An empty request is answered as a bad request.
func TestEmptyRequestIsNoDeletion(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false}
	srv := c.server(t)
	err := mqttserver.RegisterReplier(srv, t.Context(), "asked", func(_ context.Context, in *reading) (*reading, error) { return in, nil })
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	b := c.broker(t, broker.WithCodec(""))
	if _, err := b.Request(within(t, patience), "asked", broker.NewMessage([]byte{})); err == nil {
		t.Error("no error")
	}
	if n := srv.Health().Deletions; n != 0 {
		t.Errorf("%d deletions", n)
	}
}
