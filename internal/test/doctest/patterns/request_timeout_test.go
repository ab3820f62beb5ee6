package patterns

import (
	"context"
	"errors"
	"fmt"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Within asks, and waits no longer than a time. unknown is set if the request may have been carried out.
func Within(ctx context.Context, r mqttbroker.Requester, d time.Duration, t *Task) (reply *Task, unknown bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, d) // the request expires with it
	defer cancel()
	reply, err = mqttbroker.Request[Task](ctx, r, "tasks/check", t)
	if e, ok := errors.AsType[*event.Error](err); ok {
		return nil, e.MayHaveBeenSent, err
	}
	return reply, false, err
}

// Nobody answers.
func Example_requestTimeout() {
	server := listen()
	defer server.Close()
	b, disconnect := connect(server.URL(), "asker")
	defer disconnect()

	_, unknown, err := Within(context.Background(), b, 100*time.Millisecond, &Task{ID: "1"})
	fmt.Println(event.ReasonOf(err), unknown)
	// Output: TIMEOUT true
}
