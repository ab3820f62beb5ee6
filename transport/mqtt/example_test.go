package mqtt_test

import (
	"context"
	"fmt"
	"io"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A typed subscriber that answers with a message of its own. In a service,
// kratos.Server(srv) starts and stops the server.
func ExampleRegisterSubscriber() {
	ctx := context.Background()
	quiet := log.NewStdLogger(io.Discard)
	mosquitto, err := testbroker.Listen() // stands for the broker of the service
	check(err)
	defer mosquitto.Close()

	srv := mqtt.NewServer(
		mqtt.WithAddress([]string{mosquitto.URL()}),
		mqtt.WithCodec("json"),
		mqtt.WithBrokerOptions(mqttbroker.WithKratosLogger(quiet)),
	)
	alerts := make(chan string)
	check(mqtt.RegisterSubscriber(srv, ctx, "devices/+/data",
		func(ctx context.Context, topic string, _ broker.Headers, r *reading) error {
			fmt.Println(topic, r.Celsius)
			return srv.Publish(ctx, "alerts/hot", broker.NewMessage(r))
		}))
	check(mqtt.RegisterSubscriber(srv, ctx, "alerts/+",
		func(_ context.Context, topic string, _ broker.Headers, r *reading) error {
			alerts <- fmt.Sprint(topic, " ", r.Celsius)
			return nil
		}))
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	check(srv.Publish(ctx, "devices/1/data", broker.NewMessage(reading{Celsius: 41})))
	fmt.Println(<-alerts)
	// Output:
	// devices/1/data 41
	// alerts/hot 41
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
