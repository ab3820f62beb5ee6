package patterns

import (
	"context"
	"fmt"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Command sends a command to one device, on the topic that only this device reads:
// devices/{device_id}/commands. The broker keeps it for a minute while the device is away.
func Command(ctx context.Context, b *mqttbroker.Broker, device, name string) error {
	devices := devicev1.NewDeviceEventsMQTTClient(mqttbroker.NewClientConn(b))
	return devices.SendCommand(ctx, &devicev1.Command{CommandId: "7", DeviceId: device, Name: name}, event.Expiry(time.Minute))
}

func Example_pointToPoint() {
	server := listen()
	defer server.Close()
	got := make(chan string, 2)
	for _, id := range []string{"gate-1", "gate-2"} {
		device, disconnect := connect(server.URL(), id)
		defer disconnect()
		_, err := broker.Subscribe(device, "devices/"+id+"/commands", func(_ context.Context, _ string, _ broker.Headers, c *devicev1.Command) error {
			got <- id + ": " + c.GetName()
			return nil
		})
		must(err)
	}
	b, disconnect := connect(server.URL(), "control")
	defer disconnect()
	must(Command(context.Background(), b, "gate-2", "open"))
	must(Command(context.Background(), b, "gate-1", "close"))
	fmt.Println(<-got)
	fmt.Println(<-got)
	// Unordered output:
	// gate-2: open
	// gate-1: close
}
