package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Follow handles every order, as every other follower does.
func Follow(srv *mqttserver.Server, do func(context.Context, *Task) error) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "orders/placed",
		func(ctx context.Context, _ string, _ broker.Headers, t *Task) error { return do(ctx, t) })
}

// Two services get each order; the publisher knows neither.
func Example_publishSubscribe() {
	server := listen()
	defer server.Close()
	billed, packed := make(chan string, 1), make(chan string, 1)
	billing, shipping := newServer(server.URL(), "billing"), newServer(server.URL(), "shipping")
	must(Follow(billing, take("billed ", billed)))
	must(Follow(shipping, take("packed ", packed)))
	defer start(billing)()
	defer start(shipping)()

	shop, disconnect := connect(server.URL(), "shop")
	defer disconnect()
	publish(context.Background(), shop, "orders/placed", "1")
	fmt.Println(<-billed)
	fmt.Println(<-packed)
	// Output:
	// billed 1
	// packed 1
}
