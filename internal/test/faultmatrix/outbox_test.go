package faultmatrix_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"

	_ "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// fileOutbox opens a store on disk; shut may be called early.
func (h *harness) fileOutbox(path string, limit int) (store *outboxfile.Store, shut func()) {
	h.Helper()
	store, err := outboxfile.Open(path, outboxfile.Options{MaxEntries: limit})
	if h.said.err(err) != nil {
		h.Fatal(err)
	}
	shut = sync.OnceFunc(func() {
		if err := store.Close(); err != nil {
			h.Error(err)
		}
	})
	h.Cleanup(shut)
	return store, shut
}

// outboxPath returns the path of a store of this row.
func (h *harness) outboxPath() string { return filepath.Join(h.TempDir(), "outbox") }

// accept publishes n messages, from id first on, from several goroutines. It returns the
// number of failures and the first error.
func (p *publisher) accept(topic string, first, n int) (failed int, err error) {
	const writers = 16
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := first + w; i < first+n; i += writers {
				id := id(i)
				p.h.rec.Attempted(id)
				e := p.publish(p.h.Context(), fmt.Sprintf("%s/%d", topic, i%8), id)
				if e == nil {
					p.h.rec.Accepted(id)
					continue
				}
				mu.Lock()
				failed, err = failed+1, e
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return failed, err
}

// emptied waits until the outbox is empty.
func (p *publisher) emptied() {
	p.h.Helper()
	p.h.eventually(func() error {
		if o := p.health().Outbox; o.Depth > 0 || o.Err != nil {
			return fmt.Errorf("outbox: %+v", o)
		}
		return nil
	})
}

// window returns a dedup window in memory.
func (h *harness) window() dedup.Window {
	h.Helper()
	w, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return w
}

// messageID sets the id of a message to that of its payload; on MQTT 3.1.1 a CloudEvent
// carries it.
func messageID(id string) event.CallOption { return event.Header("id", id) }

// memoryOutbox returns an outbox that does not depend on the speed of a disk.
func (h *harness) memoryOutbox() outbox.Store {
	h.Helper()
	s, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// sqlOutbox returns an outbox in a database of its own.
func (h *harness) sqlOutbox() outbox.Store {
	h.Helper()
	return h.sqlOutboxAt(filepath.Join(h.TempDir(), "outbox.db"), outboxsql.Options{Dialect: sqltx.SQLite})
}

// sqlOutboxAt returns an outbox that may share its database file.
func (h *harness) sqlOutboxAt(path string, o outboxsql.Options) outbox.Store {
	h.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = db.Close() })
	store, err := outboxsql.New(db, o)
	if err == nil {
		err = store.Migrate(h.within(patience))
	}
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = store.Close() })
	return store
}
