package outbox_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/costtest"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// BenchmarkGrowth is what operations cost beside so many entries of 1 kB:
//
//	go test -run xxx -bench Growth -benchtime 50x ./event/outbox
//
// GROWTH names other numbers of entries than 10,000 and 100,000, as
// "10000,100000,1000000".
func BenchmarkGrowth(b *testing.B) {
	pg := postgres.NewServer()
	defer func() { _ = pg.Close() }()
	for _, n := range costtest.Sizes(b) {
		for name, open := range map[string]func(*testing.B) func() outbox.Store{
			"file": fileStores, "sqlite": sqliteStores,
			"postgres": func(b *testing.B) func() outbox.Store { b.Helper(); return sqlStores(b, pg.Open(b)) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { measure(b, n, open(b)) })
		}
	}
}

func fileStores(b *testing.B) func() outbox.Store {
	b.Helper()
	path := filepath.Join(b.TempDir(), "outbox")
	return func() outbox.Store {
		s, err := outboxfile.Open(path, outboxfile.Options{MaxEntries: 1 << 30, MaxBytes: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
}

func sqliteStores(b *testing.B) func() outbox.Store {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "t.db")+
		"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	return sqlStores(b, db)
}

func sqlStores(b *testing.B, db *sql.DB) func() outbox.Store {
	b.Helper()
	return func() outbox.Store {
		s, err := outboxsql.New(db, outboxsql.Options{MaxEntries: 1 << 30, MaxBytes: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Migrate(b.Context()); err != nil {
			b.Fatal(err)
		}
		return s
	}
}

func measure(b *testing.B, n int, open func() outbox.Store) {
	b.Helper()
	ctx := b.Context()
	one := func(i int) *outbox.Entry {
		return &outbox.Entry{
			Message: message.Message{Topic: fmt.Sprint("t/", i%1000), Payload: make([]byte, 1000), QoS: 1}, ID: fmt.Sprint(i),
		}
	}
	fail := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	s := open()
	for i := 0; i < n; {
		var es []*outbox.Entry
		for ; len(es) < 1000 && i < n; i++ {
			es = append(es, one(i))
		}
		fail(s.Append(ctx, es...))
	}
	fail(s.Close())
	times := costtest.New(b)
	timed := func(name string, do func()) { times.Do(name, func() error { do(); return nil }) }
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	timed("open", func() { s = open() })
	runtime.ReadMemStats(&after)
	timed("append-first", func() { fail(s.Append(ctx, one(0))) })
	timed("stats-first", func() { _, err := s.Stats(ctx); fail(err) })
	for b.Loop() {
		e := one(0)
		timed("append", func() { fail(s.Append(ctx, e)) })
		timed("read-256", func() { _, err := s.Read(ctx, uint64(n/2), 256); fail(err) })
		timed("stats", func() { _, err := s.Stats(ctx); fail(err) })
		timed("delete", func() { fail(s.Delete(ctx, e.Seq)) })
	}
	times.Report()
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), "open-MiB-allocated")
	fail(s.Close())
}
