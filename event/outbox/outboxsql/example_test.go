package outboxsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// An order and the message about it are there together, or neither is. In a
// service it is Publish, with the context of the transaction, that appends.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "outbox")
	must(err)
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "orders.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	must(err)
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE TABLE orders (id TEXT)")
	must(err)
	messages, err := outboxsql.New(db, outboxsql.Options{})
	must(err)
	defer messages.Close()
	must(messages.Migrate(ctx))

	place := func(id string, outcome error) {
		err := sqltx.Run(ctx, db, func(ctx context.Context) error {
			if _, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO orders VALUES ($1)", id); err != nil {
				return err
			}
			if err := messages.Append(ctx, &outbox.Entry{
				Message: message.Message{Topic: "orders/placed", Payload: []byte(id), QoS: 1},
				ID:      outbox.NewID(),
			}); err != nil {
				return err
			}
			return outcome
		})
		fmt.Println("order", id, "placed:", err == nil)
	}
	place("1", nil)
	place("2", errors.New("out of stock"))

	waiting, err := messages.Read(ctx, 0, 10)
	must(err)
	for _, e := range waiting {
		fmt.Printf("%s %s\n", e.Topic, e.Payload)
	}
	// Output:
	// order 1 placed: true
	// order 2 placed: false
	// orders/placed 1
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
