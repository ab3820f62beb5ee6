package main

import (
	"fmt"
	"time"
)

// stepsOfASecond is about how far SQLite counts in one second.
const stepsOfASecond = 5_000_000

// slow limits how many rows per second the database stores for a while; 0 means no limit.
// The trigger ends by the clock, because dropping it would need the lock that the saver
// holds.
func (c *contender) slow(rows int, length time.Duration) error {
	if rows <= 0 {
		return nil
	}
	db, err := c.writer()
	if err != nil {
		return err
	}
	defer db.Close()
	end := time.Now().Add(length).Unix()
	// SQLite has no sleep function, so the trigger counts.
	statements := []string{"DROP TRIGGER IF EXISTS slow", fmt.Sprintf(`CREATE TRIGGER slow AFTER INSERT ON realtime_warehousing WHEN unixepoch() < %d BEGIN
	SELECT max(n) FROM (WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < %d) SELECT n FROM c); END`, end, stepsOfASecond/rows)}
	if c.postgres {
		statements = []string{
			fmt.Sprintf(`CREATE OR REPLACE FUNCTION slow() RETURNS trigger AS $$ BEGIN
	IF extract(epoch FROM clock_timestamp()) < %d THEN PERFORM pg_sleep(%f); END IF; RETURN NEW; END $$ LANGUAGE plpgsql`, end, 1/float64(rows)),
			"DROP TRIGGER IF EXISTS slow ON realtime_warehousing",
			"CREATE TRIGGER slow AFTER INSERT ON realtime_warehousing FOR EACH ROW EXECUTE FUNCTION slow()",
		}
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
