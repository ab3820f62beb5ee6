package deadletter_test

import (
	"context"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// Letters are published again and deleted. Server.Replay, and Replay of broker/mqtt,
// do this with their own store and connection.
func ExampleReplay() {
	ctx := context.Background()
	store := deadletter.NewMemory(0) // deadletterfile and deadlettersql last
	var ids deadletter.IDs
	for _, payload := range []string{"21.5", "21.7"} {
		id, err := ids.New()
		check(err)
		check(store.Put(ctx, &deadletter.Letter{
			Message: message.Message{Topic: "devices/7/data", Payload: []byte(payload), QoS: 1},
			ID:      id, State: deadletter.Dead, Reason: "no such device", Attempts: 1,
		}))
	}
	n, err := deadletter.Replay(ctx, store, func(_ context.Context, l *deadletter.Letter) error {
		fmt.Printf("%s %s (%s)\n", l.Topic, l.Payload, l.Reason)
		return nil
	})
	check(err)
	left, err := store.Stats(ctx)
	check(err)
	fmt.Println(n, "replayed,", left.Dead, "left")
	// Output:
	// devices/7/data 21.5 (no such device)
	// devices/7/data 21.7 (no such device)
	// 2 replayed, 0 left
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
