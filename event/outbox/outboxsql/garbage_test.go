package outboxsql_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
)

// A row that somebody has spoilt, as SQLite permits, is quarantined, and the
// others are read.
func TestSpoiltRow(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		"qos = 'x'", "qos = 70000", "qos = 257", "qos = -1", "accepted = 'soon'", "accepted = 1e300", "retain = 2",
		"expiry = 'x'", "expiry = 1.5", "id = ''", "topic = ''", "headers = '{}x'", "seq = 2, payload = 5, qos = 'x'",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			db := sqlite(t)
			s := store(t, db, outboxsql.Options{})
			for i := range 3 {
				if err := s.Append(t.Context(), entry("k", i)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_outbox SET "+set+" WHERE seq = 2"); err != nil {
				t.Fatal(err)
			}
			list, err := s.Read(t.Context(), 0, 10)
			if err != nil || len(list) != 2 || list[0].Seq != 1 || list[1].Seq != 3 {
				t.Errorf("read %d entries, %v", len(list), err)
			}
			aside, err := s.Quarantined(t.Context(), 0, 10)
			if err != nil || len(aside) != 1 || aside[0].Seq != 2 || aside[0].Reason == "" || aside[0].Entry != nil {
				t.Errorf("quarantined %+v, %v", aside, err)
			}
			if st, err := s.Stats(t.Context()); err != nil || st.Depth != 2 {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}

// Spoilt rows of one key do not take the room of those of others, which are quarantined
// also when they are read together.
func TestSpoiltRowsOfOneKey(t *testing.T) {
	t.Parallel()
	db := sqlite(t)
	s := store(t, db, outboxsql.Options{MaxQuarantined: 16})
	var es []*outbox.Entry
	for i := range 100 {
		es = append(es, entry("k", i))
	}
	es = append(es, entry("a", 0), entry("b", 0), entry("c", 0), entry("whole", 0))
	if err := s.Append(t.Context(), es...); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_outbox SET qos = 'x' WHERE ordering_key <> 'whole'"); err != nil {
		t.Fatal(err)
	}
	list, err := s.Read(t.Context(), 0, 1000)
	if err != nil || len(list) != 1 || list[0].Key != "whole" {
		t.Errorf("read %d entries, %v", len(list), err)
	}
	for _, key := range []string{"a", "b", "c"} {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM mqtt_outbox WHERE ordering_key = $1 AND quarantined > ''", key).Scan(&n)
		if err != nil || n != 1 {
			t.Errorf("%d of key %q are quarantined, %v", n, key, err)
		}
	}
}
