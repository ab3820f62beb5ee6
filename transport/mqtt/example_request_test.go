package mqtt_test

import (
	"context"
	"fmt"
	"io"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A typed replier, and requests to it. CloudEvents let it work on MQTT 3.1.1,
// too.
func ExampleRegisterReplier() {
	ctx := context.Background()
	mosquitto, err := testbroker.Listen() // stands for the broker of the service
	check(err)
	defer mosquitto.Close()

	srv := mqtt.NewServer(
		mqtt.WithAddress([]string{mosquitto.URL()}),
		mqtt.WithCodec("json"),
		mqtt.WithBrokerOptions(mqttbroker.WithCloudEvents("/thermometers"),
			mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard))),
	)
	check(mqtt.RegisterReplier(srv, ctx, "fahrenheit", func(_ context.Context, r *reading) (*reading, error) {
		if r.Celsius < -273.15 {
			return nil, kerrors.BadRequest("TOO_COLD", "no such temperature")
		}
		return &reading{Celsius: r.Celsius*9/5 + 32}, nil
	}))
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	reply, err := mqttbroker.Request[reading](ctx, srv, "fahrenheit", reading{Celsius: 100})
	check(err)
	fmt.Println(reply.Celsius)
	_, err = mqttbroker.Request[reading](ctx, srv, "fahrenheit", reading{Celsius: -300})
	fmt.Println(kerrors.Code(err), kerrors.Reason(err))
	// Output:
	// 212
	// 400 TOO_COLD
}
