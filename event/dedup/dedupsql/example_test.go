package dedupsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// The id of a message commits with what its handler writes.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "dedup")
	must(err)
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "orders.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	must(err)
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE TABLE orders (id TEXT)")
	must(err)
	window, err := dedupsql.New(db, dedupsql.Options{})
	must(err)
	must(window.Migrate(ctx))

	for range 2 { // the message comes twice
		duplicate, err := window.Once(ctx, "order-1", func(ctx context.Context) error {
			_, err := sqltx.From(ctx).ExecContext(ctx, "INSERT INTO orders VALUES ('1')")
			return err
		})
		must(err)
		fmt.Println("duplicate:", duplicate)
	}
	var rows int
	must(db.QueryRowContext(ctx, "SELECT count(*) FROM orders").Scan(&rows))
	fmt.Println("orders:", rows)
	// Output:
	// duplicate: false
	// duplicate: true
	// orders: 1
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
