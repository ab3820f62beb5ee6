package eventfake_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/eventfake"
)

// Valve is the code under test: it publishes through a generated client.
type Valve struct {
	devices devicev1.DeviceEventsMQTTClient
}

// Open sends a command to a device that is online.
func (v *Valve) Open(ctx context.Context, id, device string) error {
	state, err := v.devices.GetDeviceState(ctx, &devicev1.GetDeviceStateRequest{DeviceId: device})
	if err != nil {
		return err
	}
	if !state.GetOnline() {
		return errors.New(device + " is offline")
	}
	return v.devices.SendCommand(ctx, &devicev1.Command{CommandId: id, DeviceId: device, Name: "open"}, event.Header("x-md-reason", "frost"))
}

func Example() {
	test := func(t testing.TB) {
		conn := eventfake.New(t)
		eventfake.Reply(conn, "/device.v1.DeviceEvents/GetDeviceState",
			func(_ context.Context, in *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
				return &devicev1.DeviceState{DeviceId: in.GetDeviceId(), Online: in.GetDeviceId() == "gate-1"}, nil
			})
		valve := &Valve{devicev1.NewDeviceEventsMQTTClient(conn)}

		fmt.Println(valve.Open(context.Background(), "7", "gate-1"))
		conn.Want("devices/gate-1/state/get", &devicev1.GetDeviceStateRequest{DeviceId: "gate-1"})
		conn.Want("devices/gate-1/commands", &devicev1.Command{CommandId: "7", DeviceId: "gate-1", Name: "open"},
			event.Header("x-md-reason", "frost"))

		fmt.Println(valve.Open(context.Background(), "8", "gate-2"))
		conn.Next() // the question for the state
		conn.WantNone()
	}
	test(new(failures))
	// Output:
	// <nil>
	// gate-2 is offline
}

// The broker cannot be reached for one call.
func ExampleConn_Fail() {
	conn := eventfake.New(new(failures))
	conn.Fail("/device.v1.DeviceEvents/SendCommand", &event.Error{Op: "publish", Reason: event.ReasonNotConnected})

	devices := devicev1.NewDeviceEventsMQTTClient(conn)
	for range 2 {
		fmt.Println(devices.SendCommand(context.Background(), &devicev1.Command{CommandId: "7", DeviceId: "gate-1", Name: "open"}))
	}
	for _, sent := range conn.All() {
		fmt.Println(sent.Call.ID, sent.Call.QoS, sent.Err != nil)
	}
	// Output:
	// mqtt: publish: not connected
	// <nil>
	// 7 2 true
	// 7 2 false
}
