package patterns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
)

// Decouple returns a broker whose Publish returns nil once the message is on disk.
func Decouple(path string, opts ...broker.Option) (*mqttbroker.Broker, func() error, error) {
	store, err := outboxfile.Open(path, outboxfile.Options{})
	if err != nil {
		return nil, nil, err
	}
	b := mqttbroker.NewBroker(append(opts, mqttbroker.WithOutbox(store))...)
	cleanup := func() error { return errors.Join(b.Disconnect(), store.Close()) }
	if err := b.Connect(); err != nil {
		return nil, nil, errors.Join(err, cleanup())
	}
	return b, cleanup, nil
}

// The broker is down while the shop publishes.
func Example_decoupling() {
	server := listen()
	defer server.Close()
	dir, err := os.MkdirTemp("", "decoupling")
	must(err)
	defer os.RemoveAll(dir)
	done := make(chan string, 1)
	soon := []broker.Option{mqttbroker.WithMaxReconnectInterval(100 * time.Millisecond)}
	worker := newServer(server.URL(), "worker", soon...)
	must(WorkOff(worker, take("done: ", done)))
	defer start(worker)()

	server.Stop()
	shop, cleanup, err := Decouple(filepath.Join(dir, "outbox.db"), options(server.URL(), "shop", soon)...)
	must(err)
	defer func() { must(cleanup()) }()
	publish(context.Background(), shop, "tasks", "1")
	fmt.Println("accepted")

	must(server.Start())
	fmt.Println(<-done)
	// Output:
	// accepted
	// done: 1
}
