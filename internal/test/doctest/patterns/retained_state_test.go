package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Price is a state: the last message of its topic says everything.
type Price struct {
	Product string `json:"product"`
	Cents   int    `json:"cents"`
}

// SetPrice publishes a price that the broker keeps for later subscribers.
func SetPrice(ctx context.Context, b *mqttbroker.Broker, p *Price) error {
	return b.Publish(ctx, "prices/"+p.Product, broker.NewMessage(p), mqttbroker.WithCallOptions(event.Retain(true)))
}

// Copy keeps a copy of all prices: first the present ones, then each change.
func Copy(srv *mqttserver.Server, set func(*Price)) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "prices/+",
		func(_ context.Context, _ string, _ broker.Headers, p *Price) error { set(p); return nil })
}

// The shop starts after the prices were set.
func Example_retainedState() {
	ctx := context.Background()
	server := listen()
	defer server.Close()
	prices, disconnect := connect(server.URL(), "prices")
	defer disconnect()
	must(SetPrice(ctx, prices, &Price{"tea", 250}))
	must(SetPrice(ctx, prices, &Price{"tea", 275}))

	changes := make(chan Price, 1)
	shop := newServer(server.URL(), "shop")
	must(Copy(shop, func(p *Price) { changes <- *p }))
	defer start(shop)()
	fmt.Println(<-changes)
	must(SetPrice(ctx, prices, &Price{"tea", 300}))
	fmt.Println(<-changes)
	// Output:
	// {tea 275}
	// {tea 300}
}
