package session

import (
	"context"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// sharedControl translates shared filters for a broker with another prefix than
// $share. Everywhere else in the client the prefix is $share.
type sharedControl struct {
	control
	prefix string
}

func (c sharedControl) subscribe(ctx context.Context, filters []Filter) ([]answer, error) {
	filters = slices.Clone(filters)
	for i, f := range filters {
		filters[i].Filter = topic.SharedAs(c.prefix, f.Filter)
	}
	return c.control.subscribe(ctx, filters)
}

func (c sharedControl) unsubscribe(ctx context.Context, filter string) error {
	return c.control.unsubscribe(ctx, topic.SharedAs(c.prefix, filter))
}
