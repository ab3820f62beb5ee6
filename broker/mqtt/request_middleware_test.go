package mqtt_test

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A publish middleware also wraps requests, in the same way as other messages: the
// options that it adds are sent, and it may call the next handler again.
func TestRequestsGoThroughPublishMiddleware(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	got := make(chan *broker.Message, 9)
	replier := connected(t, url, mqttbroker.WithProtocol("5"))
	if _, err := replier.Subscribe("q", func(_ context.Context, e broker.Event) error {
		got <- e.Message()
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	seen := make(chan broker.Message, 9)
	again := func(next broker.PublishHandler) broker.PublishHandler {
		return func(ctx context.Context, topic string, m *broker.Message, opts ...broker.PublishOption) error {
			seen <- *m
			opts = append(opts, mqttbroker.WithCallOptions(event.Header("x-tenant", "acme"), event.ContentType("text/plain")))
			if err := next(ctx, topic, m, opts...); err != nil {
				return err
			}
			return next(ctx, topic, m, opts...)
		}
	}
	b := connected(t, url, mqttbroker.WithProtocol("5"), broker.WithPublishMiddlewares(again))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.Request(ctx, "q", broker.NewMessage("x", broker.WithHeader("one", "1")))
		done <- err
	}()
	if m := receive(t, seen); m.Body != "x" || m.Headers["one"] != "1" {
		t.Errorf("the middleware saw %+v", m)
	}
	for range 2 {
		m := receive(t, got)
		d := m.Msg.(broker.Event).RawMessage().(*client.Delivery)
		if h := d.Header(); m.Headers["x-tenant"] != "acme" || m.Headers["one"] != "1" || len(h) != 3 || d.ContentType() != "text/plain" {
			t.Errorf("content type %q, headers %v, want one, x-tenant and id, once each", d.ContentType(), h)
		}
	}
	cancel()
	receive(t, done)
}
