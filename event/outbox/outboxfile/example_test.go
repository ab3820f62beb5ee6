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

// Accepted entries are still there after a restart, and an entry over the limit is refused at
// once. A service passes the store to WithOutbox and publishes as usual.
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
