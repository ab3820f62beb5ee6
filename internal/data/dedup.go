package data

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewDedup returns the window in which the effects of a message happen once, as
// configured; nil when there is none. That of the database runs each handler in
// a transaction, which commits with the id of the message.
func NewDedup(c *conf.Bootstrap, d *Data) (dedup.Window, error) {
	o := c.GetMqtt().GetDedup()
	switch c.DedupDriver() {
	case conf.DriverSQL:
		w, err := dedupsql.New(d.db, dedupsql.Options{TTL: o.GetWindow().AsDuration()})
		if err != nil {
			return nil, fmt.Errorf("dedup: %w", err)
		}
		return w, nil
	case conf.DriverMemory:
		return dedup.NewMemory(dedup.MemoryOptions{TTL: o.GetWindow().AsDuration(), MaxIDs: int(o.GetMaxIds())})
	}
	return nil, nil
}
