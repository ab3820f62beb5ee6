package outboxsql_test

import (
	"database/sql"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
)

func TestDelayed(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		outboxtest.TestDelayer(t, func(t *testing.T, maxEntries, maxDelayed int) outboxtest.DelayedStore {
			t.Helper()
			return store(t, open(t), outboxsql.Options{MaxEntries: maxEntries, MaxDelayed: maxDelayed})
		})
	})
}
