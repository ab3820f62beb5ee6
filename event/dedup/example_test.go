package dedup_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

// An id is remembered once its effect has succeeded. A service passes the window to WithDedup,
// or Dedup of its server.
func ExampleNewMemory() {
	window, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		panic(err)
	}
	for _, outcome := range []error{errors.New("database is away"), nil, nil} {
		duplicate, err := window.Once(context.Background(), "order-1", func(context.Context) error { return outcome })
		fmt.Printf("duplicate %t, error %v\n", duplicate, err)
	}
	// Output:
	// duplicate false, error database is away
	// duplicate false, error <nil>
	// duplicate true, error <nil>
}
