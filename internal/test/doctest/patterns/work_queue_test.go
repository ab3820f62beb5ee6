package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Share handles tasks together with the other members of the group: each task goes to one of them.
func Share(srv *mqttserver.Server, do func(context.Context, *Task) error) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "tasks",
		func(ctx context.Context, _ string, _ broker.Headers, t *Task) error { return do(ctx, t) },
		broker.WithSubscribeQueueName("workers"))
}

func Example_workQueue() {
	server := listen()
	defer server.Close()
	done := make(chan string, 20)
	for _, name := range []string{"a", "b"} {
		worker := newServer(server.URL(), "worker-"+name)
		must(Share(worker, take(name, done)))
		defer start(worker)()
	}
	producer, disconnect := connect(server.URL(), "producer")
	defer disconnect()
	publish(context.Background(), producer, "tasks", "1", "2", "3", "4", "5", "6", "7", "8")

	tasks, workers := make(map[string]bool), make(map[string]bool)
	for range 8 {
		d := <-done
		workers[d[:1]], tasks[d[1:]] = true, true
	}
	fmt.Println(len(tasks), "tasks, done by", len(workers), "workers")
	// Output: 8 tasks, done by 2 workers
}
