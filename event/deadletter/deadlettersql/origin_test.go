package deadlettersql_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	modernc "modernc.org/sqlite"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// counted counts the queries of what one origin has.
type counted struct {
	driver.Driver
	name string
	n    atomic.Int64
}

func (c *counted) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.Open(c.name)
	return countedConn{conn, c}, err
}

type connector struct{ *counted }

func (c connector) Driver() driver.Driver { return c.counted.Driver }

type countedConn struct {
	driver.Conn
	of *counted
}

func (c countedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if strings.Contains(query, "WHERE origin =") {
		c.of.n.Add(1)
	}
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c countedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

// What one origin has is counted once a second at most, however many send at the same
// time, and while letters are deleted: that is when somebody works on a flood.
func TestOriginIsCountedRarely(t *testing.T) {
	t.Parallel()
	file := "file:" + filepath.Join(t.TempDir(), "t.db") + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)"
	c := &counted{Driver: &modernc.Driver{}, name: file}
	db := sql.OpenDB(connector{c})
	t.Cleanup(func() { _ = db.Close() })
	s, err := deadlettersql.New(db, deadlettersql.Options{MaxLetters: 400, Dialect: sqltx.SQLite})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	put := func(origin string, n int) error {
		l := deadlettertest.Letter(n, deadletter.Dead)
		l.Filter, l.Topic = "plant/+/#", "plant/"+origin+"/x"
		return s.Put(t.Context(), l)
	}
	for i := range 200 {
		if err := put("hog", i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		if err := put("other", 200+i); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	c.n.Store(0)
	var senders sync.WaitGroup
	errs := make(chan error, 16)
	for i := range cap(errs) {
		senders.Go(func() {
			for n := range 20 {
				if err := put("hog", 1000+100*i+n); !errors.Is(err, deadletter.ErrShare) {
					errs <- fmt.Errorf("sender %d: %w", i, err)
					return
				}
			}
		})
	}
	for i := range 50 {
		if err := s.Delete(t.Context(), deadlettertest.ID(200+i)); err != nil {
			t.Fatal(err)
		}
		if err := put("hog", 5000+i); !errors.Is(err, deadletter.ErrShare) {
			t.Errorf("after a deletion of another one: %v", err)
		}
		if err := put("other", 6000+i); err != nil {
			t.Error(err)
		}
	}
	senders.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if n, most := c.n.Load(), 2*(2+int64(time.Since(began)/time.Second)); n > most {
		t.Errorf("counted %d times, want at most %d", n, most)
	}
	// What is gone leaves its room at once.
	for i := range 160 {
		if err := s.Delete(t.Context(), deadlettertest.ID(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := put("hog", 7000); err != nil {
		t.Error(err)
	}
}

// A store that opens a table knows at once how many bytes it contains.
func TestBytesOfATable(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		db := open(t)
		db.SetMaxOpenConns(1)
		l := deadlettertest.Letter(1, deadletter.Dead)
		if err := store(t, db, 10).Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if st, err := store(t, db, 10).Stats(t.Context()); err != nil || st.Bytes != l.Size() {
			t.Errorf("%+v, %v, want %d bytes", st, err, l.Size())
		}
	})
}

// A letter that is larger than the bound is refused for what it is, also by a table that
// nobody has counted yet; a smaller form has room.
func TestLetterBeyondTheBound(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(*testing.T) *sql.DB) {
		db := open(t)
		store(t, db, 10)
		s, err := deadlettersql.New(db, deadlettersql.Options{MaxBytes: 10_000, Share: 1})
		if err != nil {
			t.Fatal(err)
		}
		l := deadlettertest.Letter(1, deadletter.Dead)
		l.Payload = make([]byte, 10_000)
		if err := s.Put(t.Context(), l); !errors.Is(err, deadletter.ErrUnfit) || errors.Is(err, deadletter.ErrFull) {
			t.Errorf("%v, want ErrUnfit", err)
		}
		if err := s.Put(t.Context(), l.Smaller()); err != nil {
			t.Error(err)
		}
	})
}
