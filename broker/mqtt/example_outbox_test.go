package mqtt_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// An outbox accepts events on disk, also while the broker is down, and sends them when it is there.
func ExampleWithOutbox() {
	ctx := context.Background()
	server, err := testbroker.Listen()
	check(err)
	defer server.Close()
	server.Stop() // the broker is down
	dir, err := os.MkdirTemp("", "outbox")
	check(err)
	defer os.RemoveAll(dir)

	store, err := outboxfile.Open(filepath.Join(dir, "outbox.db"), outboxfile.Options{MaxEntries: 100_000})
	check(err)
	defer store.Close()
	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(&kratosmqttv1.Connection{Addresses: []string{server.URL()}}),
		mqttbroker.WithOutbox(store), mqttbroker.WithKratosLogger(discard()))
	check(b.Connect())
	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
	err = events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "1"},
		event.AcceptUnrouted()) // this event would wait for a subscriber, and there is none here
	fmt.Println(err)
	fmt.Println("published:", server.Counts().Published)

	check(server.Start())
	check(b.WaitReady(ctx))
	check(b.Disconnect()) // sends what it can
	fmt.Println("published:", server.Counts().Published)
	// Output:
	// <nil>
	// published: 0
	// published: 1
}
