package mqtt_test

import (
	"context"
	"fmt"
	"io"

	"github.com/go-kratos/kratos/v2/log"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// discard is a logger that writes nothing.
func discard() log.Logger { return log.NewStdLogger(io.Discard) }

// Publish with a generated client. A call returns nil when the broker has acknowledged the event.
func Example() {
	ctx := context.Background()
	server, err := testbroker.Listen() // stands for the broker of the service
	check(err)
	defer server.Close()

	b := mqttbroker.NewBroker(
		mqttbroker.WithConnectionConfig(&kratosmqttv1.Connection{Addresses: []string{server.URL()}}), mqttbroker.WithKratosLogger(discard()))
	check(b.Connect()) // a broker that is down is not an error
	defer b.Disconnect()

	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
	err = events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1", EventName: "login"}, event.Header("tenant", "t1"))
	fmt.Println(err, server.Counts().Published)

	err = events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "2"}, event.Topic("not/#"))
	fmt.Println(event.ReasonOf(err))
	// Output:
	// <nil> 1
	// BAD_TOPIC
}
