package deadletterfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// An operator looks at what is there, and drops what is beyond help.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "letters")
	check(err)
	defer os.RemoveAll(dir)
	store, err := deadletterfile.Open(filepath.Join(dir, "letters.db"), deadletterfile.Options{})
	check(err)
	defer store.Close()
	check(store.Put(ctx, &deadletter.Letter{
		Message: message.Message{Topic: "devices/7/data", Payload: []byte("?"), QoS: 1},
		ID:      "01", State: deadletter.Dead, Reason: "no number", Attempts: 1,
	}))

	page, err := store.List(ctx, deadletter.Query{State: deadletter.Dead})
	check(err)
	for _, l := range page {
		fmt.Println(l.ID, l.Topic, l.Reason)
	}
	n, err := deadletter.Delete(ctx, store, "01")
	check(err)
	fmt.Println("dropped", n)
	// Output:
	// 01 devices/7/data no number
	// dropped 1
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
