package outboxsql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// Only transactions that write to the outbox delay its entries: one that
// writes elsewhere may take its time.
func TestOtherTransactionsHoldUpNothing(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	s := store(t, db, outboxsql.Options{})
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE other (n INTEGER)"); err != nil {
		t.Fatal(err)
	}
	long, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Rollback()
	if _, err := long.ExecContext(t.Context(), "INSERT INTO other VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), entry("k", 1)); err != nil {
		t.Fatal(err)
	}
	if ids := read(t, s); fmt.Sprint(ids) != "[k-1]" {
		t.Errorf("read %v", ids)
	}
}

// A transaction that appends and then stays open delays the others for a
// while only, and loses nothing by being overtaken.
func TestLongTransactionIsOvertaken(t *testing.T) {
	t.Parallel()
	const patience = 6 * time.Second
	db := testdb.Open(t)
	s := store(t, db, outboxsql.Options{Patience: patience})
	long, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Rollback()
	if err := s.Append(sqltx.With(t.Context(), long), entry("long", 1)); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		began := time.Now()
		if err := s.Append(t.Context(), entry("k", n)); err != nil {
			t.Fatal(err)
		}
		for len(read(t, s)) <= n {
			if time.Since(began) > time.Minute {
				t.Fatal("the entry was not read while a transaction was open")
			}
			<-time.After(5 * time.Millisecond)
		}
		t.Logf("figure: entry %d was there after %v", n, time.Since(began))
		if took := time.Since(began); n == 0 && took < patience/2 {
			t.Errorf("the first one overtook after %v", took)
		} else if n > 0 && took >= patience {
			t.Errorf("one that was overtaken delays entry %d for %v again", n, took)
		}
	}
	if err := long.Commit(); err != nil {
		t.Fatal(err)
	}
	if ids := read(t, s); fmt.Sprint(ids) != "[long-1 k-0 k-1 k-2]" {
		t.Errorf("read %v", ids)
	}
}

// A relay sends what an overtaken transaction finally commits, and is notified of commits of
// sqltx.Run without waiting for its next poll.
func TestRelayFindsWhatWasOvertaken(t *testing.T) {
	t.Parallel()
	db := testdb.Open(t)
	const poll = 12 * time.Second
	s := store(t, db, outboxsql.Options{Patience: 50 * time.Millisecond})
	sent := make(chan string, 10)
	r, err := relay.New(s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
		sent <- e.ID
		done(nil)
		return nil
	}, relay.Options{PollInterval: poll})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- r.Run(t.Context()) }()
	want := func(id string) {
		t.Helper()
		began := time.Now()
		select {
		case got := <-sent:
			t.Logf("figure: %s was sent after %v", got, time.Since(began))
			if got != id {
				t.Errorf("%s was sent, want %s", got, id)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s was not sent", id)
		}
	}
	append1 := func(ctx context.Context) error { return s.Append(ctx, entry("k", 1)) }
	began := time.Now()
	if err := sqltx.Run(t.Context(), db, append1); err != nil {
		t.Fatal(err)
	}
	want("k-1")
	if took := time.Since(began); took > poll-time.Second {
		t.Errorf("sent %v after the commit: the relay was not told", took)
	}
	long, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Rollback()
	if err := s.Append(sqltx.With(t.Context(), long), entry("long", 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), entry("k", 2)); err != nil {
		t.Fatal(err)
	}
	want("k-2")
	if err := long.Commit(); err != nil {
		t.Fatal(err)
	}
	want("long-1")
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
