package patterns

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Log sends a line at QoS 0: no acknowledgement is awaited, and the line may be lost.
func Log(ctx context.Context, p *mqttbroker.Publisher, host, line string) error {
	return p.Publish(ctx, "logs/"+host, []byte(line), event.QoS(0))
}

// Collect gets the lines of all hosts, as bytes.
func Collect(srv *mqttserver.Server, write func(topic string, line []byte) error) error {
	return srv.RegisterSubscriber(context.Background(), "logs/+", func(_ context.Context, e broker.Event) error {
		return write(e.Topic(), e.Message().BodyBytes())
	}, nil, mqttbroker.WithSubscribeQos(0))
}

func Example_logCollection() {
	ctx := context.Background()
	server := listen()
	defer server.Close()
	written := make(chan string, 1)
	collector := newServer(server.URL(), "collector")
	must(Collect(collector, func(topic string, line []byte) error {
		written <- fmt.Sprintf("%s: %s", topic, line)
		return nil
	}))
	defer start(collector)()

	for _, host := range []string{"web-1", "web-2"} {
		p, err := mqttbroker.NewPublisher(options(server.URL(), host, nil)...)
		must(err)
		must(p.Start(ctx))
		must(Log(ctx, p, host, "started"))
		fmt.Println(<-written)
		must(p.Stop(ctx))
	}
	// Output:
	// logs/web-1: started
	// logs/web-2: started
}
