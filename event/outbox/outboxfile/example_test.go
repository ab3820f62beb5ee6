package outboxfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
)

// What was accepted is there after the process came back, and more than the
// bound is refused at once. A service gives the store to WithOutbox and publishes
// as ever.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "outbox")
	check(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "outbox.db")

	store, err := outboxfile.Open(path, outboxfile.Options{MaxEntries: 2})
	check(err)
	for _, payload := range []string{"21.5", "21.7", "21.9"} {
		err := store.Append(ctx, &outbox.Entry{
			Message: message.Message{Topic: "devices/7/data", Payload: []byte(payload), QoS: 1},
			ID:      outbox.NewID(),
		})
		fmt.Println(payload, "full:", errors.Is(err, outbox.ErrFull))
	}
	check(store.Close())

	store, err = outboxfile.Open(path, outboxfile.Options{})
	check(err)
	defer store.Close()
	waiting, err := store.Read(ctx, 0, 10)
	check(err)
	for _, e := range waiting {
		fmt.Printf("%s %s\n", e.Topic, e.Payload)
	}
	// Output:
	// 21.5 full: false
	// 21.7 full: false
	// 21.9 full: true
	// devices/7/data 21.5
	// devices/7/data 21.7
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
