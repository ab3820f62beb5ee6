package dedup_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/costtest"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// BenchmarkGrowth is what operations cost beside so many remembered ids: of a new
// id, of one that was seen, and of a purge that finds nothing:
//
//	GROWTH=10000,100000,1000000 go test -run xxx -bench Growth -benchtime 50x ./event/dedup
func BenchmarkGrowth(b *testing.B) {
	pg := postgres.NewServer()
	defer func() { _ = pg.Close() }()
	for _, n := range costtest.Sizes(b) {
		for name, open := range map[string]func(*testing.B) dedup.Window{
			"memory": func(b *testing.B) dedup.Window { b.Helper(); return fullMemory(b, n) },
			"sqlite": func(b *testing.B) dedup.Window {
				b.Helper()
				db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "t.db")+
					"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = db.Close() })
				return fullTable(b, db, n)
			},
			"postgres": func(b *testing.B) dedup.Window { b.Helper(); return fullTable(b, pg.Open(b), n) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { measureWindow(b, open(b)) })
		}
	}
}

func nothing(context.Context) error { return nil }

func fullMemory(b *testing.B, n int) dedup.Window {
	b.Helper()
	w, err := dedup.NewMemory(dedup.MemoryOptions{MaxIDs: n + 1000})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		if _, err := w.Once(b.Context(), fmt.Sprint("id-", i+1), nothing); err != nil {
			b.Fatal(err)
		}
	}
	return w
}

func fullTable(b *testing.B, db *sql.DB, n int) dedup.Window {
	b.Helper()
	w, err := dedupsql.New(db, dedupsql.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	_, err = db.ExecContext(b.Context(), fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d)
	INSERT INTO mqtt_dedup (id, expires) SELECT 'id-' || n, %d + n FROM s`, n, time.Now().Add(time.Hour).UnixMilli()))
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func measureWindow(b *testing.B, w dedup.Window) {
	b.Helper()
	ctx := b.Context()
	times := costtest.New(b)
	once := func(id string, want bool) func() error {
		return func() error {
			if duplicate, err := w.Once(ctx, id, nothing); err != nil || duplicate != want {
				return fmt.Errorf("%s: duplicate %t, %w", id, duplicate, err)
			}
			return nil
		}
	}
	for i := 0; b.Loop(); i++ {
		times.Do("new", once(fmt.Sprint("new-", i), false))
		times.Do("seen", once("id-7", true))
		if table, ok := w.(*dedupsql.Window); ok {
			times.Do("purge", func() error { _, err := table.Purge(ctx); return err })
		}
	}
	times.Report()
}
