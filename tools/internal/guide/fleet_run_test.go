package guide

import (
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	v1 "github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/guide"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

// connection returns the connection of a client with the given id.
func connection(url, id string) *kratosmqttv1.Connection {
	return &kratosmqttv1.Connection{Addresses: []string{url}, ClientId: id, Protocol: "5"}
}

// TestFleet runs the examples of the guide: a reading, a request and its error.
func TestFleet(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	store := NewStore()
	srv := NewMQTTServer(connection(url, "fleet"), &FleetEventsService{store})
	start(t, srv)

	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(connection(url, "collector")), broker.WithCodec("proto"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	fleet := NewFleetEvents(b)
	if err := send(t.Context(), fleet); err != nil {
		t.Fatal(err)
	}
	select {
	case <-store.more:
	case <-time.After(patience):
		t.Fatal("no reading")
	}
	if got := store.saved[0]; got.GetDeviceId() != "gate-1" || got.GetCelsius() != 21.5 {
		t.Errorf("got %v", got)
	}
	state, err := fleet.GetState(t.Context(), &v1.StateRequest{DeviceId: "gate-1"})
	if err != nil || !state.GetOpen() {
		t.Errorf("state %v, %v", state, err)
	}
	if _, err := fleet.GetState(t.Context(), &v1.StateRequest{DeviceId: "gate-2"}); kerrors.Reason(err) != "NO_DEVICE" || kerrors.Code(err) != 404 {
		t.Errorf("err = %v", err)
	}
}

// start starts srv until the test ends.
func start(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- srv.Start(t.Context()) }()
	t.Cleanup(func() {
		_ = srv.Stop(t.Context())
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	mqtttest.Eventually(t, patience, func() error { return srv.WaitReady(t.Context()) })
}

// TestBatches registers a handler of batches.
func TestBatches(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	store := NewStore()
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(connection(url, "fleet")), mqttbroker.WithServiceName("fleet")))
	registerBatches(srv, &FleetEventsService{store})
	start(t, srv)
	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(connection(url, "collector")), broker.WithCodec("proto"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	if err := send(t.Context(), NewFleetEvents(b)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-store.more:
	case <-time.After(patience):
		t.Fatal("no reading")
	}
}
