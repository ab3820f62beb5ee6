package deadlettersql

import (
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Listing is the statement of a query and its arguments.
func (s *Store) Listing(q deadletter.Query) (string, []any) { return s.sql.listing(q) }

// Counting is the statement of the statistics.
func (s *Store) Counting() string { return s.sql.stats }

// Sizing are the statements that count all letters, and those of one origin.
func (s *Store) Sizing() (all, origin string) { return s.sql.count, s.sql.origin }

// Grouping is the statement that counts letters by cause.
func (s *Store) Grouping() string { return s.sql.groups }
