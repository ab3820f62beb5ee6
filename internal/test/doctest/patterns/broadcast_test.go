package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Invalidate is registered by every replica, each with a client id of its own: without a group each
// gets every message. What a replica missed while it was away does not concern it, because it starts
// with an empty cache.
func Invalidate(srv *mqttserver.Server, forget func(key string)) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "cache/invalid",
		func(_ context.Context, _ string, _ broker.Headers, t *Task) error { forget(t.ID); return nil },
		mqttbroker.WithSubscribeIgnoreRetained())
}

// Replica are the options of a replica. A host name is a good client id.
func Replica(host string) []broker.Option {
	return []broker.Option{mqttbroker.WithClientId("cache-" + host), mqttbroker.WithCleanSession(true)}
}

func Example_broadcast() {
	server := listen()
	defer server.Close()
	forgotten := make(chan string, 3)
	for n := range 3 {
		replica := newServer(server.URL(), "", Replica(fmt.Sprint("pod-", n))...)
		must(Invalidate(replica, func(key string) { forgotten <- key }))
		defer start(replica)()
	}
	admin, disconnect := connect(server.URL(), "admin")
	defer disconnect()
	publish(context.Background(), admin, "cache/invalid", "user-7")
	fmt.Println(<-forgotten, <-forgotten, <-forgotten)
	// Output: user-7 user-7 user-7
}
