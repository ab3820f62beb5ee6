package patterns

import (
	"context"
	"fmt"
	"strings"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Forward takes messages of a site's broker, changes them, and publishes them on the broker of the
// centre. A message is acknowledged on the site when the centre has it. It keeps its id, so that the
// centre recognises one that comes twice.
func Forward(site *mqttserver.Server, centre *mqttbroker.Broker, name string) error {
	return mqttserver.RegisterSubscriber(site, context.Background(), "machines/+/state",
		func(ctx context.Context, topic string, _ broker.Headers, t *Task) error {
			in, _ := mqttserver.FromContext(ctx)
			out := &Task{ID: strings.ToUpper(t.ID)}
			return centre.Publish(ctx, "sites/"+name+"/"+topic, broker.NewMessage(out), mqttbroker.WithCallOptions(event.ID(in.ID())))
		})
}

func Example_pipeline() {
	ctx := context.Background()
	siteBroker, centreBroker := listen(), listen()
	defer siteBroker.Close()
	defer centreBroker.Close()
	got := make(chan string, 1)
	reader := newServer(centreBroker.URL(), "reader")
	must(mqttserver.RegisterSubscriber(reader, ctx, "sites/#", func(_ context.Context, topic string, h broker.Headers, t *Task) error {
		got <- fmt.Sprint(topic, " ", h["id"], " ", t.ID)
		return nil
	}))
	defer start(reader)()

	centre, disconnect := connect(centreBroker.URL(), "bridge")
	defer disconnect()
	site := newServer(siteBroker.URL(), "bridge")
	must(Forward(site, centre, "berlin"))
	defer start(site)()

	must(site.Publish(ctx, "machines/1/state", broker.NewMessage(&Task{ID: "running"}, broker.WithID("m-7"))))
	fmt.Println(<-got)
	// Output: sites/berlin/machines/1/state m-7 RUNNING
}
