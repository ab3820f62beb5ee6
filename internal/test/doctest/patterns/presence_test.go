package patterns

import (
	"context"
	"fmt"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Announce returns a publisher that others see online. If its connection is lost, the broker
// publishes its will, which it left when it connected.
func Announce(ctx context.Context, id string, opts ...broker.Option) (*mqttbroker.Publisher, error) {
	topic := "status/" + id
	var p *mqttbroker.Publisher
	online := func() { _ = p.Publish(ctx, topic, []byte("online"), event.Retain(true)) } // after each connect
	p, err := mqttbroker.NewPublisher(append(opts,
		mqttbroker.WithWill(topic, []byte("offline"), 1, true), mqttbroker.WithOnConnect(online))...)
	if err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

// Leave publishes that the device is offline, because the broker publishes a will only if the
// connection is lost.
func Leave(ctx context.Context, p *mqttbroker.Publisher, id string) error {
	if err := p.Publish(ctx, "status/"+id, []byte("offline"), event.Retain(true)); err != nil {
		return err
	}
	return p.Stop(ctx)
}

// Watch is called with the last known state of each device, and then with each change.
func Watch(srv *mqttserver.Server, seen func(topic, status string)) error {
	return srv.RegisterSubscriber(context.Background(), "status/+", func(_ context.Context, e broker.Event) error {
		seen(e.Topic(), string(e.Message().BodyBytes()))
		return nil
	}, nil)
}

// The connection of a device is lost once.
func Example_presence() {
	ctx := context.Background()
	server := listen()
	defer server.Close()
	seen := make(chan string, 10)
	panel := newServer(server.URL(), "panel")
	must(Watch(panel, func(topic, status string) { seen <- topic + " " + status }))
	defer start(panel)()

	soon := []broker.Option{mqttbroker.WithMaxReconnectInterval(100 * time.Millisecond)}
	device, err := Announce(ctx, "gate-1", options(server.URL(), "gate-1", soon)...)
	must(err)
	fmt.Println(<-seen)
	server.Cut("gate-1-pub")
	fmt.Println(<-seen)
	fmt.Println(<-seen)
	must(Leave(ctx, device, "gate-1"))
	fmt.Println(<-seen)
	// Output:
	// status/gate-1 online
	// status/gate-1 offline
	// status/gate-1 online
	// status/gate-1 offline
}
