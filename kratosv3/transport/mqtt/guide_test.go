package mqtt_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/go-kratos/kratos/v3"
	kerrors "github.com/go-kratos/kratos/v3/errors"
	"github.com/go-kratos/kratos/v3/middleware/logging"
	"github.com/go-kratos/kratos/v3/middleware/recovery"
	"google.golang.org/protobuf/types/known/emptypb"

	mqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// wire makes both layers: what docs/guide/kratos-v3.md shows.
func wire(c *mqttv1.Settings, s *stores.Stores, logger *slog.Logger, readings *Readings) (*mqttserver.Server, v1.MeterEventsMQTTClient, func(), error) {
	logger = mqttbroker.SafeLogger(logger)
	b, cleanup, err := mqttbroker.Open(c, s, logger) // the data layer
	if err != nil {
		return nil, nil, nil, err
	}
	events := v1.NewMeterEventsMQTTClient(mqttbroker.NewClientConn(b))

	srv := mqttserver.Open(c, s, logger, // the server layer
		mqttserver.Middleware(recovery.Recovery(), logging.Server(logger)))
	v1.RegisterMeterEventsMQTTServer(srv, readings)
	return srv, events, cleanup, nil
}

// Readings handles the events of meters.
type Readings struct{ got chan string }

// RecordReading is called for each message on meters/{meter_id}/reading.
func (r *Readings) RecordReading(ctx context.Context, in *v1.Reading) (*emptypb.Empty, error) {
	if in.GetCount() < 0 {
		return nil, kerrors.New(422, "NOT_PLAUSIBLE", "a meter does not count backwards") // a dead letter at once
	}
	tr, _ := mqttserver.FromContext(ctx)
	r.got <- tr.Topic()
	return &emptypb.Empty{}, nil
}

// GetTotal answers a request.
func (r *Readings) GetTotal(_ context.Context, in *v1.GetTotalRequest) (*v1.Total, error) {
	return nil, kerrors.NotFound("METER_UNKNOWN", in.GetMeterId())
}

// The guide's application runs.
func TestGuide(t *testing.T) {
	t.Parallel()
	readings := &Readings{got: make(chan string, 1)}
	srv, events, cleanup, err := wire(configured(mqtttest.InProcess(t).URL(), "meters"), nil, new(logs).logger(), readings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	app := kratos.New(kratos.Name("meters"), kratos.Server(srv))
	ended := make(chan error, 1)
	go func() { ended <- app.Run() }()
	if err := srv.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := events.RecordReading(within(t), &v1.Reading{MeterId: "m1", Count: 1}); err != nil {
		t.Fatal(err)
	}
	if topic := receive(t, readings.got); topic != "meters/m1/reading" {
		t.Error(topic)
	}
	if _, err := events.GetTotal(within(t), &v1.GetTotalRequest{MeterId: "m1"}); !kerrors.IsNotFound(err) {
		t.Error(err)
	}
	if err := app.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended); err != nil {
		t.Fatal(err)
	}
}
