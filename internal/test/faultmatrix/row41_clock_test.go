package faultmatrix_test

import (
	"context"
	"database/sql"
	"fmt"
	"go/ast"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/dedupsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// A test cannot set the clock of its machine. A clock that jumps can only affect times
// that were stored before the jump, so the tests move the stored times instead, which has
// the same effect. Everything that is measured within a process uses the monotonic clock.

// Row 41: the clock of the database jumps one hour ahead and two hours back. The dedup
// window still knows the ids of the last 24 hours.
func TestFault_41_ClockJumpsUnderDedup(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 200
		db, err := sql.Open("sqlite", "file:"+filepath.Join(h.TempDir(), "t.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)")
		if err != nil {
			h.Fatal(err)
		}
		h.Cleanup(func() { _ = db.Close() })
		window, err := dedupsql.New(db, dedupsql.Options{})
		if err == nil {
			err = window.Migrate(h.Context())
		}
		if err != nil {
			h.Fatal(err)
		}
		b := h.mosquitto()
		s := h.newSubscriber(b.URL(), "-sub", append(h.carried(), mqttbroker.WithDedup(window))...)
		s.record(h.name + "/data/+")
		s.run()
		p := h.publisher(b.URL(), "-pub", h.carried()...)
		send := func() {
			l := p.load(nil)
			for i := range messages {
				l.send(fmt.Sprintf("%s/data/%d", h.name, i%8), []byte(id(i)), messageID(id(i)))
			}
			l.succeeded()
		}
		send()
		h.settled()
		for n, jump := range []time.Duration{time.Hour, -2 * time.Hour} {
			// If the clock jumps ahead, entries expire that much earlier.
			if _, err := db.Exec("UPDATE "+dedupsql.DefaultTable+" SET expires = expires - $1", jump.Milliseconds()); err != nil {
				h.Fatal(err)
			}
			send()
			h.eventually(func() error {
				return atLeast("duplicates suppressed", int(s.health().Duplicates), (n+1)*messages)
			})
		}
		if rep := h.settled(); rep.Duplicates > 0 || rep.Handled != messages {
			h.Error(rep)
		}
	})
}

// Row 41: the clock jumps while messages wait in the outbox, so that their times are an
// hour ahead or behind. They are sent at once and in order, and their age is never
// negative. A message may expire too early: then it is counted, and delays nothing.
func TestFault_41_ClockJumpsUnderOutbox(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 200
		b := h.mosquitto()
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		memory, err := outbox.NewMemory(outbox.MemoryOptions{})
		if err != nil {
			h.Fatal(err)
		}
		store := &jumping{Store: memory}
		p := h.newPublisher(b.URL(), "-pub", mqttbroker.WithOutbox(store))
		for i, jump := range []time.Duration{time.Hour, -time.Hour} {
			store.by.Store(int64(jump))
			l := p.load(nil)
			l.sendAll(h.name+"/data", i*messages, messages)
			l.succeeded()
		}
		short := event.Expiry(time.Minute) // accepted an hour ago, according to the current clock
		if err := p.publish(h.within(patience), h.name+"/data/0", id(2*messages), short); err != nil {
			h.Fatal(err)
		}
		if age := p.health().Outbox.Age; age < 0 {
			h.Errorf("age of %v", age)
		}
		began := time.Now()
		if err := p.connect(); err != nil {
			h.Fatal(err)
		}
		p.emptied()
		h.settled()
		if took := time.Since(began); took > 2*time.Second+slack {
			h.Errorf("sent after %v", took)
		}
		if n := p.health().Outbox.Expired; n != 1 {
			h.Errorf("%d messages expired, want 1", n)
		}
	})
}

// jumping is a store whose entries were accepted before the clock jumped.
type jumping struct {
	outbox.Store
	by atomic.Int64
}

func (j *jumping) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	list, err := j.Store.Read(ctx, after, limit, without...)
	moved := make([]*outbox.Entry, len(list))
	for i, e := range list {
		entry := *e
		entry.Accepted = time.Unix(0, e.Accepted.UnixNano()+j.by.Load()) // without a monotonic reading, as if read from disk
		moved[i] = &entry
	}
	return moved, err
}

// Row 41: connections, keep-alives, waits and retries measure durations with the monotonic
// clock: no file of internal/mqtt converts a time to the wall clock, except to store it,
// to send it or to log it.
func TestDurationsAreMonotonic(t *testing.T) {
	t.Parallel()
	wall := map[string]bool{
		"Unix": true, "UnixNano": true, "UnixMicro": true, "UnixMilli": true, "UTC": true, "Local": true, "Date": true,
	}
	const root = "../../mqtt"
	uses := map[string]string{ // why a file may use the wall clock
		"client/certificates.go": "the end of a certificate, in a log line and an error",
		"envelope/cloudevent.go": "the attribute time of an event",
		"envelope/sent_at.go":    "the header with the time of the publish",
		"logsafe/field.go":       "the text of a time in a log line",
		"parking/watch.go":       "the text of a time in a log line",
		"session/id.go":          "the time that an id begins with",
	}
	n := 0
	for path, file := range goFiles(t, filepath.FromSlash(root)) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		n++
		rel, err := filepath.Rel(filepath.FromSlash(root), path)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if s, ok := node.(*ast.SelectorExpr); ok && wall[s.Sel.Name] {
				if uses[filepath.ToSlash(rel)] == "" {
					t.Errorf("%s: %s", path, s.Sel.Name)
				}
			}
			return true
		})
	}
	if n < 150 {
		t.Errorf("only %d files", n)
	}
}
