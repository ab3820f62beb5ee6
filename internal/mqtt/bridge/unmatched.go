package bridge

import (
	"errors"
	"fmt"
	"slices"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// unmatched takes from a service's configuration what becomes of messages and
// filters without a subscription.
func (s *Settings) unmatched(c *v1.Subscriber) {
	if d := c.GetUnmatchedGrace(); d != nil {
		grace := d.AsDuration() // 0 is a value
		s.Config.UnmatchedGrace = &grace
	}
	put(&s.Config.Unmatched, event.Unmatched(c.GetUnmatched()))
	put(&s.Config.KeepFilters, c.GetKeepFilters())
	put(&s.Config.SharePrefix, c.GetSharedGroupPrefix())
	if filters := c.GetPreviousFilters(); len(filters) > 0 {
		s.Config.PreviousFilters = slices.Clone(filters)
	}
}

// resolveUnmatched reports every problem of them, by its key.
func (s *Settings) resolveUnmatched(cfg *client.Config) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, event.Setting("Subscriber", key, format, args...))
	}
	if g := cfg.UnmatchedGrace; g != nil && *g < 0 {
		bad("unmatched_grace", "is %v, want 0s or more", *g)
	}
	switch cfg.Unmatched {
	case "", event.UnmatchedDeadLetter, event.UnmatchedDrop:
	default:
		bad("unmatched", "is not known, want %s or %s", event.UnmatchedDeadLetter, event.UnmatchedDrop)
	}
	if cfg.SharePrefix != "" {
		if err := client.ValidateSharePrefix(cfg.SharePrefix); err != nil {
			bad("shared_group_prefix", "%w", err)
		}
	}
	for i, f := range cfg.PreviousFilters {
		if err := client.ValidateFilter(f); err != nil {
			bad(fmt.Sprintf("previous_filters[%d]", i), "%w", err)
		}
	}
	return errors.Join(errs...)
}
