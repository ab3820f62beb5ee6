package patterns

import (
	"context"
	"errors"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Select handles the messages of many topics by filters: + is one level, # at the end all levels below.
func Select(srv *mqttserver.Server, temperatures, berlin func(topic string)) error {
	return errors.Join(
		mqttserver.RegisterSubscriber(srv, context.Background(), "plants/+/temperature",
			func(_ context.Context, topic string, _ broker.Headers, _ *Task) error {
				temperatures(topic)
				return nil
			}),
		mqttserver.RegisterSubscriber(srv, context.Background(), "plants/berlin/#",
			func(_ context.Context, topic string, _ broker.Headers, _ *Task) error { berlin(topic); return nil }),
	)
}

func Example_topics() {
	server := listen()
	defer server.Close()
	got := make(chan string, 4)
	srv := newServer(server.URL(), "display")
	must(Select(srv, func(topic string) { got <- "temperature: " + topic }, func(topic string) { got <- "berlin: " + topic }))
	defer start(srv)()

	plants, disconnect := connect(server.URL(), "plants")
	defer disconnect()
	for _, topic := range []string{"plants/berlin/temperature", "plants/paris/temperature", "plants/berlin/door/2"} {
		publish(context.Background(), plants, topic, "1")
	}
	for range 4 {
		fmt.Println(<-got)
	}
	// Unordered output:
	// temperature: plants/berlin/temperature
	// berlin: plants/berlin/temperature
	// temperature: plants/paris/temperature
	// berlin: plants/berlin/door/2
}
