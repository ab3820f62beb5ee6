package server

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

type Saver struct{ repo Repo }

// Save acknowledges the message by returning nil. An error is retried, then dead-lettered.
func (s *Saver) Save(ctx context.Context, _ string, _ broker.Headers, e *reportv1.RealTimeWarehousingData) error {
	return s.repo.Save(ctx, e)
}

func RegisterSaver(srv *mqttserver.Server, s *Saver) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "reports/event", s.Save)
}

// TestByHand handles an event as the guide shows.
func TestByHand(t *testing.T) {
	t.Parallel()
	rows := make(memory, 1)
	c := &kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}}
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(c)), mqttserver.WithCodec("proto"))
	if err := RegisterSaver(srv, &Saver{rows}); err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	publish(t, srv)
	if e := <-rows; e.EventId != "1" {
		t.Errorf("got %v", e)
	}
}
