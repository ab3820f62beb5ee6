package mqtt_test

import (
	"context"
	"fmt"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Handle many events at a time, for example in one transaction. nil acknowledges all of them, an
// event.ItemErrors decides about each, and after another error each is handled by itself.
func Example_batch() {
	ctx := context.Background()
	connection, end := listen()
	defer end()
	srv := mqttserver.Open(&kratosmqttv1.Settings{Connection: connection}, nil, quiet())
	stored := make(chan string, 3)
	store := func(_ context.Context, in []*reportv1.RealTimeWarehousingData) error {
		for _, e := range in {
			stored <- e.GetEventId()
		}
		return nil
	}
	reportv1.RegisterReportEventsMQTTServer(srv, newReports(), event.Only("SaveEventReport"),
		reportv1.ReportEvents_SaveEventReport_MQTT_Batch(store, event.BatchSize(200)))
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	for _, id := range []string{"1", "2", "3"} {
		check(reports(srv).SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: id}))
	}
	fmt.Println(<-stored, <-stored, <-stored)
	// Output: 1 2 3
}
