package outboxsql_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// generate makes entries by SQL, which takes no time.
func generate(tb testing.TB, db *sql.DB, topic string, rows int) {
	tb.Helper()
	payload, empty, source := "repeat('x', 1000)::bytea", "''::bytea", "generate_series(1, $2::integer)"
	if d, err := sqldialect.Of(db); err != nil {
		tb.Fatal(err)
	} else if d == sqltx.SQLite {
		payload, empty = "zeroblob(1000)", "x''"
		source = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $2) SELECT i FROM n)"
	}
	statement := fmt.Sprintf(`INSERT INTO mqtt_outbox (id, ordering_key, topic, payload, qos, retain, content_type,
		response_topic, correlation, expiry, headers, accepted, size)
		SELECT 'x', '', $1, %s, 1, false, '', '', %s, 0, '[]', 1, 1000 FROM `, payload, empty)
	if _, err := db.ExecContext(tb.Context(), statement+source, topic, rows); err != nil {
		tb.Fatal(err)
	}
}

// stores.md 1: a snapshot that is held open keeps what was removed from being
// forgotten. The relay works on, and finds the first that waits.
func TestOpenSnapshotStopsNothing(t *testing.T) {
	t.Parallel()
	const dead = 150_000
	db := testdb.Open(t)
	s := store(t, db, outboxsql.Options{})
	snapshot, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Rollback()
	var one int
	if err := snapshot.QueryRowContext(t.Context(), "SELECT count(*) FROM mqtt_outbox").Scan(&one); err != nil {
		t.Fatal(err)
	}
	generate(t, db, "t", dead)
	if _, err := db.ExecContext(t.Context(), "DELETE FROM mqtt_outbox"); err != nil {
		t.Fatal(err)
	}
	sent := make(chan string, 200)
	r, err := relay.New(s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
		sent <- e.ID
		done(nil)
		return nil
	}, relay.Options{PollInterval: 20 * time.Millisecond}) // far less than a walk takes
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- r.Run(t.Context()) }()
	began := time.Now()
	for i := range 100 {
		if err := s.Append(t.Context(), entry("k", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		select {
		case <-sent:
		case <-time.After(2 * time.Minute):
			t.Fatalf("%d of 100 were sent beside %d dead rows", i, dead)
		}
	}
	t.Logf("figure: 100 entries sent in %v beside %d dead rows", time.Since(began), dead)
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// stores.md 9a: a publish ends with its context while the network to the
// database holds a count.
func TestFault_64_AppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dsn, err := url.Parse(testdb.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	link := newLink(t, dsn.Host)
	dsn.Host = link.addr
	db, err := sql.Open(postgres.Driver, dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := store(t, db, outboxsql.Options{})
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Append(t.Context(), entry("k", 0)); err != nil {
		t.Fatal(err)
	}
	link.hold()
	for i := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		began := time.Now()
		err := s.Append(ctx, entry("k", i))
		took := time.Since(began)
		cancel()
		if err == nil {
			t.Error("Append over a network that holds everything back returned nil")
		}
		if took > 30*time.Second {
			t.Fatalf("Append with 200 ms returned after %v", took)
		}
	}
}

// link passes on what it gets, until it holds everything back.
type link struct {
	addr string
	held chan struct{}
}

func (l *link) hold() { close(l.held) }

func newLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: listener.Addr().String(), held: make(chan struct{})}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	pass := func(from, to net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-l.held: // swallowed, and the connection stays
			default:
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
	}
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, server)
			mu.Unlock()
			running.Go(func() { pass(client, server) })
			running.Go(func() { pass(server, client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l
}
