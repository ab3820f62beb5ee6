package embedded_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/embedded"
)

// A program runs the broker beside its own servers.
func Example() {
	ctx := context.Background()
	broker, err := embedded.New(embedded.WithAddress("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	if err := broker.Start(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.HasPrefix(broker.URL(), "mqtt://127.0.0.1:"))
	if err := broker.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: true
}
