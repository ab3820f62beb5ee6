package mqtt_test

import (
	"context"
	"fmt"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Two replicas share the events of a service: each event goes to one of them.
func Example_sharedGroup() {
	ctx := context.Background()
	connection, end := listen()
	defer end()
	service := newReports() // of both, so that all events are seen together
	var replica *mqttserver.Server
	for range 2 {
		replica = mqttserver.Open(&kratosmqttv1.Settings{Connection: connection}, nil, quiet())
		reportv1.RegisterReportEventsMQTTServer(replica, service, event.Group("savers")) // or group: "savers" of the method
		check(replica.Start(ctx))
		defer replica.Stop(ctx)
	}
	seen := make(map[string]int)
	for n := range 4 {
		check(reports(replica).SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: fmt.Sprint(n)}))
	}
	for range 4 {
		seen[(<-service.saved).GetEventId()]++
	}
	fmt.Println(seen)
	// Output: map[0:1 1:1 2:1 3:1]
}
