package mqtt_test

import (
	"context"
	"fmt"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Kratos middleware runs around every attempt of a handler. It finds operation and headers where it finds
// them over HTTP and gRPC; FromContext has what only MQTT has.
func ExampleMiddleware() {
	ctx := context.Background()
	connection, end := listen()
	defer end()
	trace := func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			tr, _ := transport.FromServerContext(ctx)
			message, _ := mqttserver.FromContext(ctx)
			fmt.Println(tr.Operation(), tr.RequestHeader().Get("tenant"), message.Topic(), message.QoS())
			return next(ctx, req)
		}
	}
	srv := mqttserver.Open(&kratosmqttv1.Settings{Connection: connection}, nil, quiet(), mqttserver.Middleware(trace))
	service := newReports()
	reportv1.RegisterReportEventsMQTTServer(srv, service)
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	check(reports(srv).SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1"}, event.Header("tenant", "t1")))
	fmt.Println((<-service.saved).GetEventId())
	// Output:
	// /report.v1.ReportEvents/SaveEventReport t1 reports/event 1
	// 1
}

// Use adds middleware for some operations: here for all of one service.
func ExampleServer_Use() {
	ctx := context.Background()
	connection, end := listen()
	defer end()
	srv := mqttserver.Open(&kratosmqttv1.Settings{Connection: connection}, nil, quiet())
	srv.Use("/report.v1.ReportEvents/*", func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			fmt.Printf("%T\n", req)
			return next(ctx, req)
		}
	})
	service := newReports()
	reportv1.RegisterReportEventsMQTTServer(srv, service)
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	check(reports(srv).SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1"}))
	<-service.saved
	// Output: *v1.RealTimeWarehousingData
}
