package deadlettersql_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

var testdb = postgres.NewServer()

func TestMain(m *testing.M) { goleak.VerifyTestMain(testdb.Main(m)) }

func sqlite(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func onBoth(t *testing.T, test func(t *testing.T, open func(*testing.T) *sql.DB)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T) *sql.DB{
		"sqlite": sqlite, "postgres": func(t *testing.T) *sql.DB { t.Helper(); return testdb.Open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

func store(t *testing.T, db *sql.DB, limit int) *deadlettersql.Store {
	t.Helper()
	s, err := deadlettersql.New(db, deadlettersql.Options{MaxLetters: limit})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		deadlettertest.TestStore(t, func(t *testing.T, limit int) deadletter.Store {
			t.Helper()
			return store(t, open(t), limit)
		})
	})
}

// A letter is about what went wrong: nothing that is wrong in it may keep it
// from being written.
func TestHostileLetter(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		s := store(t, open(t), 0)
		bad := "a\x00b\xffc"
		l := deadlettertest.Letter(1, deadletter.Dead)
		l.Topic, l.Reason, l.Key, l.EventID, l.Owner, l.Filter, l.Service = bad, bad, bad, bad, bad, bad, bad
		l.ContentType, l.ResponseTopic, l.Headers = bad, bad, []message.Header{{Key: bad, Value: bad}}
		l.Payload, l.CorrelationData = []byte(bad), []byte(bad)
		for range 2 { // inserted, and replaced
			if err := s.Put(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Get(t.Context(), l.ID)
		if err != nil {
			t.Fatal(err)
		}
		const mended = "a\uFFFDb\uFFFDc"
		if got.Topic != mended || got.Reason != mended || got.Headers[0].Value != mended || string(got.Payload) != bad {
			t.Errorf("read back %+v", got)
		}
	})
}

// A row that was changed by hand is a letter that is not whole, and keeps nobody
// from the others.
func TestDamagedRow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		db := open(t)
		s := store(t, db, 0)
		for i := range 3 {
			if err := s.Put(t.Context(), deadlettertest.Letter(i, deadletter.Dead)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_dead_letter SET headers = '[[' WHERE id = $1", deadlettertest.ID(1)); err != nil {
			t.Fatal(err)
		}
		n, err := deadletter.Replay(t.Context(), s, func(context.Context, *deadletter.Letter) error { return nil })
		if n != 2 || !errors.Is(err, deadletter.ErrOmitted) {
			t.Errorf("%d replayed, %v", n, err)
		}
		list, err := s.List(t.Context(), deadletter.Query{})
		if err != nil || len(list) != 1 || !strings.Contains(list[0].Reason, "headers cannot be read") {
			t.Errorf("left %+v, %v", list, err)
		}
	})
}

// SQLite takes text in a column of numbers. That row is listed, refused by name and can be
// deleted, and the others are replayed.
func TestTextInAColumnOfNumbers(t *testing.T) {
	t.Parallel()
	for _, column := range []string{
		"attempts", "received", "written", "qos", "retain", "expiry", "park_until", "omitted_size", "omitted_more", "origin", "bytes",
	} {
		t.Run(column, func(t *testing.T) {
			t.Parallel()
			db := sqlite(t)
			s := store(t, db, 0)
			for i := range 3 {
				if err := s.Put(t.Context(), deadlettertest.Letter(i, deadletter.Dead)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.ExecContext(t.Context(), "UPDATE mqtt_dead_letter SET "+column+" = 'text' WHERE id = $1", deadlettertest.ID(1)); err != nil {
				t.Fatal(err)
			}
			n, err := deadletter.Replay(t.Context(), s, func(context.Context, *deadletter.Letter) error { return nil })
			if n != 2 || !errors.Is(err, deadletter.ErrOmitted) {
				t.Errorf("%d replayed, %v", n, err)
			}
			l, err := s.Get(t.Context(), deadlettertest.ID(1))
			if err != nil || !strings.Contains(l.Reason, "cannot be read") || l.Topic == "" {
				t.Errorf("left %+v, %v", l, err)
			}
			if n, err := deadletter.Delete(t.Context(), s, deadlettertest.ID(1)); n != 1 || err != nil {
				t.Errorf("%d deleted, %v", n, err)
			}
		})
	}
}

// A letter outlives the transaction of the handler that failed.
func TestPutHasItsOwnTransaction(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	s := store(t, db, 0)
	boom := errors.New("boom")
	err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
		return errors.Join(s.Put(ctx, deadlettertest.Letter(1, deadletter.Dead)), boom)
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), deadlettertest.ID(1)); err != nil {
		t.Error(err)
	}
}

// Another process fills the table, and makes room again.
func TestBoundOverProcesses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		db := open(t)
		ours, other := store(t, db, 3), store(t, db, 3)
		for n := range 2 {
			if err := ours.Put(t.Context(), deadlettertest.Letter(n, deadletter.Dead)); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Put(t.Context(), deadlettertest.Letter(2, deadletter.Dead)); err != nil {
			t.Fatal(err)
		}
		if err := other.Put(t.Context(), deadlettertest.Letter(3, deadletter.Dead)); !errors.Is(err, deadletter.ErrFull) {
			t.Errorf("Put to a full table: %v", err)
		}
		if err := ours.Delete(t.Context(), deadlettertest.ID(0)); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for {
			err := other.Put(t.Context(), deadlettertest.Letter(3, deadletter.Dead))
			if err == nil {
				break
			}
			if !errors.Is(err, deadletter.ErrFull) || time.Now().After(deadline) {
				t.Fatalf("Put after another process made room: %v", err)
			}
			<-time.After(10 * time.Millisecond)
		}
	})
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []deadlettersql.Options{{Table: "a; DROP"}, {MaxLetters: -1}, {Table: "1"}} {
		if _, err := deadlettersql.New(sqlite(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// A process that starts while a letter is being written waits for nobody, and
// nobody for it.
func TestMigrateLocksNobodyOut(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	s := store(t, db, 0)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "UPDATE "+deadlettersql.DefaultTable+" SET state = state"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, deadlettertest.Letter(1, deadletter.Dead)); err != nil {
		t.Error(err)
	}
}
