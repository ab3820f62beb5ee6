package brokerfake_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/brokerfake"
)

// Reading is what a device measured.
type Reading struct{ Celsius float64 }

// WatchHeat is the code under test: it subscribes and publishes by hand.
func WatchHeat(b broker.Broker) error {
	_, err := broker.Subscribe(b, "devices/+/data", func(ctx context.Context, topic string, _ broker.Headers, r *Reading) error {
		if r.Celsius < 40 {
			return nil
		}
		return b.Publish(ctx, "alerts/hot", broker.NewMessage(r, broker.WithHeader("from", topic)), mqttbroker.WithCallOptions(event.QoS(2)))
	})
	return err
}

func Example() {
	test := func(t testing.TB) {
		b := brokerfake.New(t)
		if err := WatchHeat(b); err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()

		fmt.Println(b.Deliver(ctx, "devices/7/data", broker.NewMessage(Reading{Celsius: 21})))
		b.WantNone()

		fmt.Println(b.Deliver(ctx, "devices/7/data", broker.NewMessage(Reading{Celsius: 41})))
		b.Want("alerts/hot", &Reading{Celsius: 41}, event.QoS(2), event.Header("from", "devices/7/data"))

		b.Fail("alerts/hot", &event.Error{Op: "publish", Reason: event.ReasonNotConnected})
		fmt.Println(b.Deliver(ctx, "devices/7/data", broker.NewMessage(Reading{Celsius: 42})))
	}
	test(new(failures))
	// Output:
	// <nil>
	// <nil>
	// mqtt: publish: not connected
}

// A request is answered by the test.
func ExampleBroker_Answer() {
	b := brokerfake.New(new(failures))
	b.Answer("fahrenheit", func(_ context.Context, msg *broker.Message) (*broker.Message, error) {
		return broker.NewMessage(&Reading{Celsius: msg.Body.(Reading).Celsius*9/5 + 32}), nil
	})

	reply, err := mqttbroker.Request[Reading](context.Background(), b, "fahrenheit", Reading{Celsius: 100})
	fmt.Println(reply.Celsius, err)
	b.Want("fahrenheit", Reading{Celsius: 100})
	// Output: 212 <nil>
}
