package brokerfake_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/brokerfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWant compares one publish with what a test may want.
func TestWant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts []broker.PublishOption
		want func(b *brokerfake.Broker)
		line string // "" means no failure
	}{
		"plain":   {want: func(b *brokerfake.Broker) { b.Want("a", "x", event.ID("7"), event.Header("k", "v")) }},
		"QoS":     {opts: []broker.PublishOption{mqttbroker.WithPublishQos(2)}, want: func(b *brokerfake.Broker) { b.Want("a", "x", event.ID("7"), event.Header("k", "v"), event.QoS(2)) }},
		"acks":    {opts: []broker.PublishOption{broker.WithPublishRequiredAcks(0)}, want: func(b *brokerfake.Broker) { b.Want("a", "x", event.ID("7"), event.Header("k", "v"), event.QoS(0)) }},
		"retain":  {opts: []broker.PublishOption{mqttbroker.WithPublishRetained(true)}, want: func(b *brokerfake.Broker) { b.Want("a", "x", event.ID("7"), event.Header("k", "v")) }, line: "retain true, want false"},
		"topic":   {opts: []broker.PublishOption{mqttbroker.WithCallOptions(event.Topic("b"))}, want: func(b *brokerfake.Broker) { b.Want("a", "x", event.ID("7"), event.Header("k", "v")) }, line: "topic b, want a"},
		"id":      {want: func(b *brokerfake.Broker) { b.Want("a", "x", event.Header("k", "v")) }, line: "id 7, want "},
		"headers": {want: func(b *brokerfake.Broker) { b.Want("a", "x", event.ID("7")) }, line: "headers [{k v}], want []"},
		"body":    {want: func(b *brokerfake.Broker) { b.Want("a", "y", event.ID("7"), event.Header("k", "v")) }, line: "body x, want y"},
		"none":    {want: func(b *brokerfake.Broker) { b.WantNone() }, line: "sent to a, and not wanted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := new(failures)
			b := brokerfake.New(f)
			msg := broker.NewMessage("x", broker.WithID("7"), broker.WithHeader("k", "v"))
			if err := b.Publish(t.Context(), "a", msg, c.opts...); err != nil {
				t.Fatal(err)
			}
			c.want(b)
			failed := strings.Join(f.found, "\n")
			if (failed == "") != (c.line == "") || !strings.Contains(failed, c.line) {
				t.Errorf("got %q, want %q", failed, c.line)
			}
		})
	}
}

// TestGenerated publishes with a generated client: options of the method are seen, too.
func TestGenerated(t *testing.T) {
	t.Parallel()
	b := brokerfake.New(t)
	devices := devicev1.NewDeviceEventsMQTTClient(mqttbroker.NewClientConn(b))
	command := &devicev1.Command{CommandId: "7", DeviceId: "gate-1", Name: "open"}
	if err := devices.SendCommand(t.Context(), command); err != nil {
		t.Fatal(err)
	}
	b.Want("devices/gate-1/commands", command, event.QoS(2), event.ID("7"))
	b.Answer("devices/gate-1/state/get", func(context.Context, *broker.Message) (*broker.Message, error) {
		return broker.NewMessage(&devicev1.DeviceState{Online: true}), nil
	})
	if state, err := devices.GetDeviceState(t.Context(), &devicev1.GetDeviceStateRequest{DeviceId: "gate-1"}); err != nil || !state.GetOnline() {
		t.Errorf("got %v, %v", state, err)
	}
	if sent := b.Next(); !sent.Requested {
		t.Errorf("got %+v", sent)
	}
}

// TestRefused makes calls that no broker accepts.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := brokerfake.New(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	message := broker.NewMessage("x")
	for want, err := range map[event.Reason]error{
		event.ReasonBadTopic: b.Publish(t.Context(), "a/#", message),
		event.ReasonCanceled: b.Publish(over, "a", message),
		event.ReasonTimeout:  func() error { _, err := b.Request(t.Context(), "a", message); return err }(),
		event.ReasonBadRequest: errors.Join(b.Publish(t.Context(), "a", message, broker.WithPublishRequiredAcks(7)),
			b.Publish(t.Context(), "a", nil), b.Publish(t.Context(), "a", message, mqttbroker.WithCallOptions(event.Expiry(-1)))),
	} {
		if event.ReasonOf(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if n := len(b.All()); n != 6 {
		t.Errorf("%d calls", n)
	}
}

// TestSubscriptions delivers to handlers with their middleware until they unsubscribe.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	var order []string
	trace := func(name string) broker.SubscriberMiddleware {
		return func(next broker.Handler) broker.Handler {
			return func(ctx context.Context, e broker.Event) error {
				order = append(order, name)
				return next(ctx, e)
			}
		}
	}
	b := brokerfake.New(t, broker.WithSubscriberMiddlewares(trace("outer")))
	failed := errors.New("failed")
	one, err := b.Subscribe("a/+", func(_ context.Context, e broker.Event) error {
		order = append(order, e.Topic())
		return failed
	}, nil, broker.WithSubscribeMiddlewares(trace("inner")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Subscribe("$share/g/a/#", func(context.Context, broker.Event) error { return nil }, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Deliver(t.Context(), "a/1", broker.NewMessage("x")); !errors.Is(err, failed) {
		t.Errorf("err = %v", err)
	}
	if want := []string{"outer", "inner", "a/1", "outer"}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
	if err := one.Unsubscribe(true); err != nil {
		t.Error(err)
	}
	if got := b.Filters(); !slices.Equal(got, []string{"$share/g/a/#"}) {
		t.Errorf("filters %q", got)
	}
	if err := b.Deliver(t.Context(), "b", broker.NewMessage("x")); err == nil {
		t.Error("delivered where nothing subscribes")
	}
	b.Fail("c", failed)
	if _, err := b.Subscribe("c", func(context.Context, broker.Event) error { return nil }, nil); !errors.Is(err, failed) {
		t.Errorf("err = %v", err)
	}
	if _, err := b.Subscribe("a/#/b", func(context.Context, broker.Event) error { return nil }, nil); event.ReasonOf(err) != event.ReasonBadTopic {
		t.Errorf("err = %v", err)
	}
}
