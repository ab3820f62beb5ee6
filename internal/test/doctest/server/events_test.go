package server

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func NewEvents(b *mqttbroker.Broker) reportv1.ReportEventsMQTTClient { // the data layer: events.SaveEventReport(ctx, e)
	return reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
}

func RegisterEvents(srv *mqttserver.Server, reports reportv1.ReportEventsMQTTServer) { // the server layer
	reportv1.RegisterReportEventsMQTTServer(srv, reports)
}

// generated implements the interface in the shape of gRPC.
type generated struct{ repo Repo }

// SaveEventReport implements reportv1.ReportEventsMQTTServer.
func (g *generated) SaveEventReport(ctx context.Context, e *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, g.repo.Save(ctx, e)
}

// SaveUserReport implements reportv1.ReportEventsMQTTServer.
func (g *generated) SaveUserReport(context.Context, *reportv1.AcceptStatusReportData) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// TestEvents publishes and handles an event through the generated code.
func TestEvents(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	rows := make(memory, 1)
	srv := mqttserver.NewServer(mqttserver.WithAddress([]string{url}), mqttserver.WithClientId("saver"))
	RegisterEvents(srv, &generated{rows})
	start(t, srv)
	b := mqttbroker.NewBroker(broker.WithAddress(url))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	if err := NewEvents(b).SaveEventReport(t.Context(), &reportv1.RealTimeWarehousingData{EventId: "7"}); err != nil {
		t.Fatal(err)
	}
	if e := <-rows; e.EventId != "7" {
		t.Errorf("got %v", e)
	}
}
