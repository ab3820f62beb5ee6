package mqtt_test

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/emptypb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Reports implements a generated interface, in the form of gRPC's.
type Reports struct {
	reportv1.UnimplementedReportEventsServer
	saved chan *reportv1.RealTimeWarehousingData
}

// SaveEventReport acknowledges the event by returning nil. An error is retried, then dead-lettered.
func (r *Reports) SaveEventReport(_ context.Context, e *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	r.saved <- e
	return &emptypb.Empty{}, nil
}

// Subscribe to the events of a generated service. In a service, kratos.Server(srv) starts and stops the
// server, and kratos.BeforeStart(srv.Start) subscribes before other servers answer.
func Example() {
	ctx := context.Background()
	connection, end := listen()
	defer end()

	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(connection), mqttbroker.WithServiceName("reports"), mqttbroker.WithKratosLogger(quiet())))
	service := newReports()
	reportv1.RegisterReportEventsMQTTServer(srv, service)
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	check(reports(srv).SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1", EventName: "login"}))
	fmt.Println((<-service.saved).GetEventName())
	// Output: login
}
