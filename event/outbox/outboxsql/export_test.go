package outboxsql

import (
	"strings"
)

// Statements returns those that read or count a part of the table, each with
// arguments for a table of 100,000 rows.
func (s *Store) Statements() map[string][]any {
	return map[string][]any{
		s.sql.read:              {50_000, 100_000, 256},
		s.sql.readWithout(2):    {50_000, 100_000, 256, "a", "b"},
		s.sql.oldest:            {50_000},
		s.sql.quarantined:       {0, 100},
		s.sql.countQuarantined:  {},
		s.sql.quarantinedOfKeys: {},
		s.sql.one:               {50_000},
		strings.Replace(s.sql.sizes, "{seqs}", numbered(1, 2), 1):  {1, 2},
		strings.Replace(s.sql.remove, "{seqs}", numbered(1, 2), 1): {1, 2},
		s.run.first: {256},
		s.run.next:  {},
		s.run.list:  {50_000, 50_000, 100},
		strings.Replace(s.run.cancel, "{ids}", numbered(1, 2), 1): {"1", "2"},
		strings.Replace(s.sql.retry, "{seqs}", numbered(1, 2), 1): {1, 2},
	}
}
