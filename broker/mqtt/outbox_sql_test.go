package mqtt_test

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"path/filepath"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	_ "modernc.org/sqlite"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// sqlStore returns an outbox in its own database.
func sqlStore(t testing.TB, o outboxsql.Options) (*outboxsql.Store, *sql.DB) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	o.Dialect = sqltx.SQLite
	store, err := outboxsql.New(db, o)
	if err == nil {
		err = store.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, db
}

// A message is sent when the transaction that it is part of commits. If the transaction
// is rolled back it is never sent.
func TestOutboxInATransaction(t *testing.T) {
	t.Parallel()
	store, db := sqlStore(t, outboxsql.Options{})
	url := mqtttest.InProcess(t).URL()
	got := subscribe(t, connected(t, url), "tx/+")
	b := connected(t, url, mqttbroker.WithOutbox(store))
	called := make(chan error, 1)
	publishes := func(topic string, outcome error) error {
		return sqltx.Run(within(t, patience), db, func(ctx context.Context) error {
			for _, opts := range [][]broker.PublishOption{
				nil,
				{broker.WithPublishTimeout(patience)},
				{broker.WithPublishAsync(func(err error) { called <- err })},
			} {
				if err := b.Publish(ctx, topic, broker.NewMessage("x"), opts...); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
			if err := receive(t, called); err != nil {
				t.Errorf("called back with %v", err)
			}
			return outcome
		})
	}
	undone := errors.New("undone")
	if err := publishes("tx/undone", undone); !errors.Is(err, undone) {
		t.Fatal(err)
	}
	if err := publishes("tx/done", nil); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "tx/after", "x")
	seen := make(map[string]int)
	for range 4 {
		seen[receive(t, got).topic]++
	}
	if !maps.Equal(seen, map[string]int{"tx/done": 3, "tx/after": 1}) {
		t.Errorf("got %v", seen)
	}
	wantDepth(t, store, 0)
}
