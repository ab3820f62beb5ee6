package patterns

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Receive gets the data of a CloudEvent as the message, and its attributes as headers. Structured
// events of any sender are understood on MQTT 5, and with WithCloudEvents on 3.1.1, too.
func Receive(srv *mqttserver.Server, do func(source, id string, t *Task)) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "shop/orders",
		func(_ context.Context, _ string, h broker.Headers, t *Task) error {
			do(h["source"], h["id"], t)
			return nil
		})
}

// Emit returns a broker that sends every message as a CloudEvent in structured JSON.
func Emit(source string, opts ...broker.Option) *mqttbroker.Broker {
	return mqttbroker.NewBroker(append(opts, mqttbroker.WithCloudEvents(source))...)
}

func Example_cloudEvents() {
	ctx := context.Background()
	server := listen()
	defer server.Close()
	got, raw := make(chan string, 1), make(chan []byte, 1)
	srv := newServer(server.URL(), "orders")
	must(Receive(srv, func(source, id string, t *Task) { got <- fmt.Sprint(source, " ", id, " ", t.ID) }))
	defer start(srv)()

	// A program in another language sends the bytes of an event.
	foreign, err := mqttbroker.NewPublisher(options(server.URL(), "foreign", nil)...)
	must(err)
	must(foreign.Start(ctx))
	defer foreign.Stop(ctx)
	must(foreign.Publish(ctx, "shop/orders", []byte(`{"specversion":"1.0","type":"placed","source":"/shop","id":"7","data":{"id":"1"}}`),
		event.ContentType("application/cloudevents+json")))
	fmt.Println(<-got)

	// It gets ours as such bytes.
	reader, disconnect := connect(server.URL(), "reader")
	defer disconnect()
	_, err = reader.Subscribe("shop/parcels", func(_ context.Context, e broker.Event) error {
		raw <- e.(mqttbroker.Received).Payload()
		return nil
	}, nil)
	must(err)
	ours := Emit("/depot", options(server.URL(), "depot", nil)...)
	must(ours.Connect())
	defer ours.Disconnect()
	must(ours.Publish(ctx, "shop/parcels", broker.NewMessage(&Task{ID: "2"}, broker.WithID("8"))))
	var e map[string]any
	must(json.Unmarshal(<-raw, &e))
	fmt.Println(e["specversion"], e["source"], e["id"], e["data"])
	// Output:
	// /shop 7 1
	// 1.0 /depot 8 map[id:2]
}
