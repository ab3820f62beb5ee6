package mqtt_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// The data layer of a service: publish, and know whether it arrived.
func ExampleNewBroker() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	server, err := testbroker.Listen() // stands for the broker of the service
	check(err)
	defer server.Close()

	b := mqtt.NewBroker(
		broker.WithAddress(server.URL()),
		broker.WithCodec("json"),
		mqtt.WithKratosLogger(log.NewStdLogger(io.Discard)),
	)
	check(b.Init())
	check(b.Connect())
	defer b.Disconnect()

	type report struct{ Event string }
	done := make(chan struct{})
	_, err = broker.Subscribe(b, "reports/+",
		func(_ context.Context, topic string, _ broker.Headers, r *report) error {
			fmt.Println("got", r.Event, "on", topic)
			close(done)
			return nil
		})
	check(err)

	err = b.Publish(ctx, "reports/1", broker.NewMessage(&report{Event: "login"}))
	<-done
	fmt.Println("acknowledged:", err == nil)
	// Output:
	// got login on reports/1
	// acknowledged: true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
