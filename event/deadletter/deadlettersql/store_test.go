package deadlettersql_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/internal/pgtest"
)

var postgres = pgtest.NewServer()

func TestMain(m *testing.M) { os.Exit(postgres.Main(m).Run()) }

func sqlite(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *sql.DB{
		"sqlite": sqlite, "postgres": func(t *testing.T) *sql.DB { t.Helper(); return postgres.Open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deadlettertest.TestStore(t, func(t *testing.T, limit int) deadletter.Store {
				t.Helper()
				s, err := deadlettersql.New(open(t), deadlettersql.Options{MaxLetters: limit})
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second time there is nothing to do
					if err := s.Migrate(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				return s
			})
		})
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []deadlettersql.Options{{Table: "a; DROP"}, {MaxLetters: -1}, {Table: "1"}} {
		if _, err := deadlettersql.New(sqlite(t), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
