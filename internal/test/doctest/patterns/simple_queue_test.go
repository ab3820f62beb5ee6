package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// WorkOff handles tasks one after another, in the order in which they were published.
func WorkOff(srv *mqttserver.Server, do func(context.Context, *Task) error) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "tasks",
		func(ctx context.Context, _ string, _ broker.Headers, t *Task) error { return do(ctx, t) })
}

// The worker is away while tasks are published.
func Example_simpleQueue() {
	server := listen()
	defer server.Close()
	done := make(chan string, 10)
	worker := newServer(server.URL(), "worker")
	must(WorkOff(worker, take("task ", done)))
	start(worker)() // from now on the broker keeps what is published for the worker

	producer, disconnect := connect(server.URL(), "producer")
	defer disconnect()
	publish(context.Background(), producer, "tasks", "1", "2", "3")

	defer start(worker)()
	for range 3 {
		fmt.Println(<-done)
	}
	// Output:
	// task 1
	// task 2
	// task 3
}
