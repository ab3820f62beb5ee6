package deadletter_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/costtest"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// BenchmarkGrowth is what operations cost beside so many dead letters and ten
// parked ones:
//
//	GROWTH=10000,100000,1000000 go test -run xxx -bench Growth -benchtime 50x ./event/deadletter
func BenchmarkGrowth(b *testing.B) {
	pg := postgres.NewServer()
	defer func() { _ = pg.Close() }()
	for _, n := range costtest.Sizes(b) {
		for name, open := range map[string]func(*testing.B) deadletter.Store{
			"file": fileLetters,
			"sqlite": func(b *testing.B) deadletter.Store {
				b.Helper()
				db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "t.db")+
					"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = db.Close() })
				return sqlLetters(b, db, n, "substr('000000000' || n, -9)", "x'01'")
			},
			"postgres": func(b *testing.B) deadletter.Store {
				b.Helper()
				return sqlLetters(b, pg.Open(b), n, "lpad(n::text, 9, '0')", `'\x01'::bytea`)
			},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				s := open(b)
				if name == "file" {
					fillFile(b, s, n)
				}
				measureLetters(b, s, n)
			})
		}
	}
}

func numbered(i int, state deadletter.State) *deadletter.Letter {
	return letter(fmt.Sprintf("%09d", i), state)
}

func fileLetters(b *testing.B) deadletter.Store {
	b.Helper()
	s, err := deadletterfile.Open(filepath.Join(b.TempDir(), "letters"), deadletterfile.Options{MaxLetters: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// fillFile puts many at a time, as they share a write.
func fillFile(b *testing.B, s deadletter.Store, n int) {
	b.Helper()
	errs := make(chan error, 256)
	for from := 1; from <= n; from += cap(errs) {
		to := min(n+1, from+cap(errs))
		for i := from; i < to; i++ {
			state := deadletter.Dead
			if i%(n/10) == 0 {
				state = deadletter.Parked
			}
			go func() { errs <- s.Put(b.Context(), numbered(i, state)) }()
		}
		for range to - from {
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
		}
	}
}

func sqlLetters(b *testing.B, db *sql.DB, n int, number, blob string) deadletter.Store {
	b.Helper()
	s, err := deadlettersql.New(db, deadlettersql.Options{MaxLetters: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	_, err = db.ExecContext(b.Context(), fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
	INSERT INTO mqtt_dead_letter (id, state, owner, filter, ordering_key, service, event_id, reason, attempts, received, written,
		topic, payload, qos, retain, content_type, response_topic, correlation, expiry, headers,
		park_until, omitted_size, omitted_sha256, omitted_more, origin, bytes, operation, error_type, replayed, fingerprint)
	SELECT %s, CASE WHEN n %% %d = 0 THEN 'parked' ELSE 'dead' END, 'o', 't/+', '', '', '', '', 1, 1, 1,
		't', %s, 1, FALSE, '', '', %[4]s, 0, '[]',
		0, 0, '', FALSE, 0, 1024, '', '', '', 'x' FROM s`, n, number, n/10, blob))
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func measureLetters(b *testing.B, s deadletter.Store, n int) {
	b.Helper()
	ctx := b.Context()
	stats := func() error { _, err := s.Stats(ctx); return err }
	times := costtest.New(b)
	times.Do("put-first", func() error { return s.Put(ctx, numbered(0, deadletter.Dead)) })
	times.Do("stats-first", stats)
	next := n
	for b.Loop() {
		next++
		l := numbered(next, deadletter.Dead)
		times.Do("put", func() error { return s.Put(ctx, l) })
		times.Do("list", func() error { _, err := s.List(ctx, deadletter.Query{State: deadletter.Dead}); return err })
		times.Do("restore", func() error {
			letters, err := s.List(ctx, deadletter.Query{State: deadletter.Parked, Owner: "o"})
			if err == nil && len(letters) != 10 {
				err = fmt.Errorf("%d parked letters", len(letters))
			}
			return err
		})
		times.Do("cause", func() error {
			letters, err := s.List(ctx, deadletter.Query{State: deadletter.Dead, Fingerprint: l.Fingerprint()})
			if err == nil && len(letters) == 0 {
				err = errors.New("no letter of the cause")
			}
			return err
		})
		if g, ok := s.(deadletter.Grouper); ok {
			times.Do("groups", func() error { _, err := g.Groups(ctx, deadletter.Dead, "", 1000); return err })
		}
		times.Do("stats", stats)
		times.Do("replay", func() error {
			_, err := deadletter.Replay(ctx, s, func(context.Context, *deadletter.Letter) error { return nil }, l.ID)
			return err
		})
	}
	times.Report()
}
