package patterns

import (
	"context"
	"errors"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Route handles jobs of some kinds only. The kind is a level of the topic.
func Route(srv *mqttserver.Server, do func(context.Context, *Task) error, kinds ...string) error {
	var errs []error
	for _, kind := range kinds {
		errs = append(errs, mqttserver.RegisterSubscriber(srv, context.Background(), "jobs/"+kind,
			func(ctx context.Context, _ string, _ broker.Headers, t *Task) error { return do(ctx, t) }))
	}
	return errors.Join(errs...)
}

// Each service gets the kinds that it asks for.
func Example_routing() {
	server := listen()
	defer server.Close()
	media, mails := make(chan string, 3), make(chan string, 3)
	studio, post := newServer(server.URL(), "studio"), newServer(server.URL(), "post")
	must(Route(studio, take("studio: ", media), "image", "video"))
	must(Route(post, take("post: ", mails), "mail"))
	defer start(studio)()
	defer start(post)()

	shop, disconnect := connect(server.URL(), "shop")
	defer disconnect()
	publish(context.Background(), shop, "jobs/image", "cat.png")
	fmt.Println(<-media)
	publish(context.Background(), shop, "jobs/mail", "welcome")
	fmt.Println(<-mails)
	publish(context.Background(), shop, "jobs/video", "cat.mp4")
	fmt.Println(<-media)
	// Output:
	// studio: cat.png
	// post: welcome
	// studio: cat.mp4
}
