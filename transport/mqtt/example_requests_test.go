package mqtt_test

import (
	"context"
	"fmt"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Devices answers requests.
type Devices struct {
	devicev1.UnimplementedDeviceEventsServer
}

// GetDeviceState returns a state, or a Kratos error, which the client gets with code and reason.
func (Devices) GetDeviceState(_ context.Context, in *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
	if in.GetDeviceId() != "gate-1" {
		return nil, kerrors.NotFound("NO_DEVICE", "there is no such device")
	}
	return &devicev1.DeviceState{DeviceId: in.GetDeviceId(), Online: true}, nil
}

// A request with a typed reply: a method that does not return google.protobuf.Empty.
func Example_request() {
	ctx := context.Background()
	connection, end := listen()
	defer end()
	srv := mqttserver.Open(&kratosmqttv1.Settings{Connection: connection}, nil, quiet())
	devicev1.RegisterDeviceEventsMQTTServer(srv, Devices{}, event.Only("GetDeviceState"))
	check(srv.Start(ctx))
	defer srv.Stop(ctx)

	devices := devicev1.NewDeviceEventsMQTTClient(mqttbroker.NewClientConn(srv.Broker()))
	state, err := devices.GetDeviceState(ctx, &devicev1.GetDeviceStateRequest{DeviceId: "gate-1"})
	fmt.Println(state.GetOnline(), err)
	_, err = devices.GetDeviceState(ctx, &devicev1.GetDeviceStateRequest{DeviceId: "gate-2"})
	fmt.Println(kerrors.Code(err), kerrors.Reason(err))
	// Output:
	// true <nil>
	// 404 NO_DEVICE
}
