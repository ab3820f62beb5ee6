package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// The broker has everything that users find in kratos-transport's package of the same
// name, with the same signatures.
var (
	_ broker.Broker = mqtt.NewBroker()

	_ func(bool) broker.Option               = mqtt.WithCleanSession
	_ func(string, string) broker.Option     = mqtt.WithAuth
	_ func(string) broker.Option             = mqtt.WithClientId
	_ func(bool) broker.Option               = mqtt.WithAutoReconnect
	_ func(bool) broker.Option               = mqtt.WithResumeSubs
	_ func(bool) broker.Option               = mqtt.WithOrderMatters
	_ func(time.Duration) broker.Option      = mqtt.WithKeepAlive
	_ func(time.Duration) broker.Option      = mqtt.WithMaxReconnectInterval
	_ func(time.Duration) broker.Option      = mqtt.WithConnectRetryInterval
	_ func(time.Duration) broker.Option      = mqtt.WithWriteTimeout
	_ func(time.Duration) broker.Option      = mqtt.WithConnectTimeout
	_ func(time.Duration) broker.Option      = mqtt.WithPingTimeout
	_ func(uint) broker.Option               = mqtt.WithProtocolVersion
	_ func() broker.Option                   = mqtt.WithErrorLogger
	_ func() broker.Option                   = mqtt.WithCriticalLogger
	_ func() broker.Option                   = mqtt.WithWarnLogger
	_ func() broker.Option                   = mqtt.WithDebugLogger
	_ func(mqtt.LoggerOptions) broker.Option = mqtt.WithLogger
	_ func(func()) broker.Option             = mqtt.WithOnConnect
	_ func(func(error)) broker.Option        = mqtt.WithOnDisconnect

	_ func(byte) broker.SubscribeOption = mqtt.WithSubscribeQos
	_ func(byte) broker.PublishOption   = mqtt.WithPublishQos
	_ func(bool) broker.PublishOption   = mqtt.WithPublishRetained

	_ = mqtt.LoggerOptions{Error: true, Critical: true, Warn: true, Debug: true}
)

// A data layer that was written for kratos-transport.
func TestCodeForKratosTransport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	b := mqtt.NewBroker(
		broker.WithAddress(mqtttest.InProcess(t).URL()),
		broker.WithCodec("json"),
		mqtt.WithCleanSession(true),
		mqtt.WithOrderMatters(false),
		mqtt.WithErrorLogger(),
	)
	if err := b.Init(); err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Disconnect(); err != nil {
			t.Error(err)
		}
	}()

	got := make(chan string, 1)
	sub, err := b.Subscribe("logger/sensor/ts", func(_ context.Context, e broker.Event) error {
		got <- e.Message().Body.(*wrapperspb.StringValue).GetValue()
		return nil
	}, func() any { return &wrapperspb.StringValue{} }, mqtt.WithSubscribeQos(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(ctx, "logger/sensor/ts", broker.NewMessage(wrapperspb.String("21.5"))); err != nil {
		t.Fatal(err)
	}
	if v := receive(t, got); v != "21.5" {
		t.Errorf("got %q", v)
	}
	if sub.Topic() != "logger/sensor/ts" || !sub.Options().AutoAck {
		t.Errorf("subscriber: topic %q, options %+v", sub.Topic(), sub.Options())
	}
	if err := sub.Unsubscribe(true); err != nil {
		t.Error(err)
	}
	if b.Name() != "mqtt" {
		t.Errorf("name %q", b.Name())
	}
}

// The typed helper of kratos-transport's broker package.
func TestTypedSubscribe(t *testing.T) {
	t.Parallel()
	type reading struct{ Celsius float64 }
	b := connected(t, mqtttest.InProcess(t).URL())
	got := make(chan reading, 1)
	_, err := broker.Subscribe(b, "rooms/+", func(_ context.Context, _ string, _ broker.Headers, r *reading) error {
		got <- *r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "rooms/1", reading{21.5})
	if r := receive(t, got); r.Celsius != 21.5 {
		t.Errorf("got %+v", r)
	}
}
