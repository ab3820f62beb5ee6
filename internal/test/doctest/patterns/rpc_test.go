package patterns

import (
	"context"
	"fmt"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// States answers requests: its methods have the form of gRPC's.
type States struct {
	devicev1.UnimplementedDeviceEventsServer
}

// GetDeviceState returns a state, or an error that the client gets with code and reason.
func (s *States) GetDeviceState(_ context.Context, in *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
	if in.GetDeviceId() != "gate-1" {
		return nil, kerrors.NotFound("NO_DEVICE", "there is no such device")
	}
	return &devicev1.DeviceState{DeviceId: in.GetDeviceId(), Online: true}, nil
}

// Ask calls it by the generated client.
func Ask(ctx context.Context, b *mqttbroker.Broker, device string) (*devicev1.DeviceState, error) {
	states := devicev1.NewDeviceEventsMQTTClient(mqttbroker.NewClientConn(b))
	return states.GetDeviceState(ctx, &devicev1.GetDeviceStateRequest{DeviceId: device})
}

func Example_rpc() {
	server := listen()
	defer server.Close()
	srv := newServer(server.URL(), "states")
	devicev1.RegisterDeviceEventsMQTTServer(srv, new(States), event.Only("GetDeviceState"))
	defer start(srv)()

	b, disconnect := connect(server.URL(), "panel")
	defer disconnect()
	state, err := Ask(context.Background(), b, "gate-1")
	fmt.Println(state.GetOnline(), err)
	_, err = Ask(context.Background(), b, "gate-2")
	fmt.Println(kerrors.Code(err), kerrors.Reason(err))
	// Output:
	// true <nil>
	// 404 NO_DEVICE
}
