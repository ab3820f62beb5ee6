package mqtt_test

import (
	"context"
	"fmt"
	"io"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// outcomes is a hook that counts publishes.
type outcomes struct{ ok, failed int }

// OnPublish implements event.PublishHook. The publishes of the example come one
// after the other; a hook for more takes a mutex.
func (o *outcomes) OnPublish(info event.PublishInfo) {
	if info.Err != nil {
		o.failed++
		return
	}
	o.ok++
}

func ExampleWithHooks() {
	ctx := context.Background()
	server, _ := testbroker.Listen() // stands for the broker of the service
	defer server.Close()

	count := new(outcomes)
	b := mqttbroker.NewBroker(broker.WithAddress(server.URL()), mqttbroker.WithHooks(count),
		mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)))
	_ = b.Connect()
	defer b.Disconnect()

	_ = b.Publish(ctx, "a", broker.NewMessage("x"))
	_ = b.Publish(ctx, "not/#", broker.NewMessage("x"))
	fmt.Printf("%+v\n", *count)
	// Output: {ok:1 failed:1}
}

// Headers on any version of MQTT, in a CloudEvent.
func ExampleWithCloudEvents() {
	ctx := context.Background()
	server, _ := testbroker.Listen() // stands for the broker of the service
	defer server.Close()

	b := mqttbroker.NewBroker(broker.WithAddress(server.URL()), mqttbroker.WithProtocol("3.1.1"),
		mqttbroker.WithCloudEvents("/plants/1"), mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)))
	_ = b.Connect()
	defer b.Disconnect()

	got := make(chan *broker.Message)
	_, _ = b.Subscribe("a", func(_ context.Context, e broker.Event) error {
		got <- e.Message()
		return nil
	}, nil)
	_ = b.Publish(ctx, "a", broker.NewMessage("x", broker.WithID("7"), broker.WithHeader("tenant", "t")))
	m := <-got
	fmt.Printf("%s %s %s %s\n", m.ID, m.Headers["tenant"], m.Headers["source"], m.Body)
	// Output: 7 t /plants/1 "x"
}
