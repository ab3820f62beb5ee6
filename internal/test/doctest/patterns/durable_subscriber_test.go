package patterns

import (
	"context"
	"fmt"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// Durable are the options of a subscriber that misses nothing while it is away for up to a week: a
// client id that stays the same over restarts, and how long the broker keeps its session.
func Durable(clientID string) []broker.Option {
	return []broker.Option{mqttbroker.WithClientId(clientID), mqttbroker.WithSessionExpiry(7 * 24 * time.Hour)}
}

// Of two subscribers that were away, one is durable.
func Example_durableSubscriber() {
	server := listen()
	defer server.Close()
	got := make(chan string, 10)
	archive := newServer(server.URL(), "", Durable("archive-0")...)
	ticker := newServer(server.URL(), "") // without a client id
	must(Follow(archive, take("archive: ", got)))
	must(Follow(ticker, take("ticker: ", got)))
	start(archive)()
	start(ticker)()

	shop, disconnect := connect(server.URL(), "shop")
	defer disconnect()
	publish(context.Background(), shop, "orders/placed", "1")
	defer start(ticker)()
	publish(context.Background(), shop, "orders/placed", "2")
	fmt.Println(<-got)
	defer start(archive)()
	fmt.Println(<-got)
	fmt.Println(<-got)
	// Output:
	// ticker: 2
	// archive: 1
	// archive: 2
}
