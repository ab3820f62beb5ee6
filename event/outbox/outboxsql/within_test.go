package outboxsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// A pool may have one connection, as that of a service on SQLite does: nothing
// may need a second one while the caller's transaction has it.
func TestOneConnectionIsEnough(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		db.SetMaxOpenConns(1)
		s := store(t, db, outboxsql.Options{MaxEntries: 2})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for n := range 3 {
			err := sqltx.Run(ctx, db, func(ctx context.Context) error { return s.Append(ctx, entry("k", n)) })
			if full := errors.Is(err, outbox.ErrFull); full != (n == 2) || !full && err != nil {
				t.Fatalf("Append %d: %v", n, err)
			}
		}
	})
}

// What cannot be stored in every database is refused before the transaction of
// the caller is touched.
func TestTextThatNoDatabaseTakes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		s := store(t, db, outboxsql.Options{})
		bad := map[string]func(*outbox.Entry, string){
			"id":             func(e *outbox.Entry, text string) { e.ID = text },
			"key":            func(e *outbox.Entry, text string) { e.Key = text },
			"topic":          func(e *outbox.Entry, text string) { e.Topic = text },
			"content type":   func(e *outbox.Entry, text string) { e.ContentType = text },
			"response topic": func(e *outbox.Entry, text string) { e.ResponseTopic = text },
			"header":         func(e *outbox.Entry, text string) { e.Headers = []message.Header{{Key: text}} },
		}
		err := sqltx.Run(t.Context(), db, func(ctx context.Context) error {
			for name, set := range bad {
				for _, text := range []string{"a\x00b", "a\xffb"} {
					e := entry("k", 1)
					set(e, text)
					if err := s.Append(ctx, e); err == nil || !strings.Contains(err.Error(), name) {
						t.Errorf("%s %q: %v", name, text, err)
					}
				}
			}
			return s.Append(ctx, entry("k", 2))
		})
		if err != nil {
			t.Fatal(err)
		}
		if ids := read(t, s); fmt.Sprint(ids) != "[k-2]" {
			t.Errorf("read %v", ids)
		}
	})
}

// Replicas that start at the same time make the tables at the same time.
func TestMigrateAtTheSameTime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(testing.TB) *sql.DB) {
		db := open(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := outboxsql.New(db, outboxsql.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Migrate(t.Context()); err != nil {
					t.Errorf("Migrate: %v", err)
				}
			})
		}
		wg.Wait()
	})
}
