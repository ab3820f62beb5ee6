package data

import (
	"context"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewStores opens the configured outbox, dedup window and dead letters. Those with
// the driver "sql" are in the database of the service, whose migrations create their
// tables. The returned function closes them: messages that wait in a durable outbox
// are sent after the next start.
func NewStores(ctx context.Context, c *conf.Bootstrap, d *Data, logger log.Logger) (*stores.Stores, func(), error) {
	helper, settings := log.NewHelper(logger), c.Settings()
	if settings.Subscriber == nil {
		settings.DeadLetters = nil // nothing is handled here
	}
	return stores.Open(ctx, settings, stores.Options{
		DB: d.db, OutboxDB: d.messages, Dialect: d.dialect.name, Migrated: true,
		// A damaged file is moved aside for an operator, and work continues with a new one.
		OnDamaged: func(store, report string) { helper.Errorf("the file of the %s was damaged: %s", store, report) },
	})
}
