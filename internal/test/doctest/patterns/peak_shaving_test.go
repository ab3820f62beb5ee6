package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Shave returns a server that works off its own tasks two at a time, whatever arrives. Of a peak
// it has at most 100 bytes at the broker, and 5 tasks in the store; more are refused.
func Shave(store outbox.Store, opts ...broker.Option) *mqttserver.Server {
	backlog := event.NewBacklog(100)
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(append(opts,
		mqttbroker.WithSubscriberConfig(&kratosmqttv1.Subscriber{Concurrency: 2}),
		mqttbroker.WithHooks(backlog), // learns what was handled
		mqttbroker.WithOutbox(store, mqttbroker.OutboxBacklog(backlog)))...))
	backlog.Follow(srv, func() bool { h := srv.Health(); return h.Queued+h.Running == 0 })
	return srv
}

func Example_peakShaving() {
	server := listen()
	defer server.Close()
	store, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: 5}) // a service takes outboxfile
	must(err)
	proceed, done := make(chan struct{}), make(chan string, 1000)
	srv := Shave(store, options(server.URL(), "shop", nil)...)
	must(WorkOff(srv, func(_ context.Context, t *Task) error {
		<-proceed
		done <- t.ID
		return nil
	}))
	defer start(srv)()

	accepted := 0
	for err = error(nil); err == nil && accepted < 1000; accepted++ {
		err = srv.Publish(context.Background(), "tasks", broker.NewMessage(&Task{ID: fmt.Sprint(accepted)}))
	}
	accepted-- // the last one was refused
	fmt.Println(event.ReasonOf(err), accepted < 20)
	close(proceed)
	for range accepted {
		<-done
	}
	fmt.Println("all that was accepted is done")
	// Output:
	// OUTBOX_FULL true
	// all that was accepted is done
}
