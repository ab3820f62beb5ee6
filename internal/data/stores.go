package data

import (
	"context"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewStores opens the outbox, the dedup window and the dead letters that are
// configured; those of the driver "sql" are in the database of the service, whose
// migrations have made their tables. The returned function closes them: what
// waits in a durable outbox is sent after the next start.
func NewStores(ctx context.Context, c *conf.Bootstrap, d *Data, logger log.Logger) (*stores.Stores, func(), error) {
	helper, settings := log.NewHelper(logger), c.Settings()
	if settings.Subscriber == nil {
		settings.DeadLetters = nil // nothing is handled here
	}
	return stores.Open(ctx, settings, stores.Options{
		DB: d.db, OutboxDB: d.messages, Migrated: true,
		// Work goes on then, and an operator finds the damaged file.
		OnDamaged: func(store, report string) { helper.Errorf("the file of the %s was damaged: %s", store, report) },
	})
}
