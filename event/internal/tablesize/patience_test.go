package tablesize

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// busy is a database whose transactions take this long to begin.
type busy struct{ takes time.Duration }

func (b busy) Connect(context.Context) (driver.Conn, error) { return b, nil }
func (b busy) Driver() driver.Driver                        { return nil }
func (busy) Prepare(string) (driver.Stmt, error)            { return nil, driver.ErrSkip }
func (busy) Close() error                                   { return nil }
func (busy) Commit() error                                  { return nil }
func (busy) Rollback() error                                { return nil }
func (b busy) Begin() (driver.Tx, error)                    { return b, nil }

func (b busy) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	select {
	case <-time.After(b.takes): // of the clock of synctest
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (busy) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &oneRow{}, nil
}

type oneRow struct{ read bool }

func (*oneRow) Columns() []string { return []string{"one"} }
func (*oneRow) Close() error      { return nil }

func (r *oneRow) Next(row []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, row[0] = true, int64(1)
	return nil
}

// A write that needs a count waits for it until its own context ends, however long the database
// takes for the snapshot; other writes wait for a snapshot for a second only.
func TestSlowSnapshotFailsNoWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(busy{takes: 5 * time.Second})
		defer db.Close()
		c := &table{rows: 3}
		g := c.gauge(10)
		g.DB = db
		defer g.Close()
		result := make(chan error, 1)
		go func() {
			room, err := g.Write(t.Context(), Amount{Rows: 1}, c.grow)
			if !room && err == nil {
				t.Error("no room")
			}
			result <- err
		}()
		synctest.Wait()
		began := time.Now()
		if err := g.Free(t.Context(), func() (Amount, error) { return Amount{}, nil }); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > snapshotTime {
			t.Errorf("another write waited %v for the snapshot", took)
		}
		if err := <-result; err != nil {
			t.Errorf("Write: %v", err)
		}
		if a, err := g.Now(t.Context()); err != nil || a.Rows != 4 {
			t.Errorf("%d rows, %v; want 4", a.Rows, err)
		}
	})
}

// What is written while a slow snapshot is taken is never missing in the value.
func TestWritesDuringASlowSnapshotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(busy{takes: 5 * time.Second})
		defer db.Close()
		c := &table{}
		g := c.gauge(1_000_000)
		g.DB = db
		defer g.Close()
		known := make(chan error, 1)
		go func() { _, err := g.Now(t.Context()); known <- err }()
		synctest.Wait()
		for range 8 {
			c.add(t, g, true)
			<-time.After(time.Second)
		}
		if err := <-known; err != nil {
			t.Fatal(err)
		}
		if a, _ := g.Known(); a.Rows < 8 {
			t.Errorf("%d rows, want at least 8", a.Rows)
		}
		<-time.After(5 * time.Minute)
		if _, err := g.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Minute)
		if a, _ := g.Known(); a.Rows != 8 {
			t.Errorf("%d rows, want 8", a.Rows)
		}
	})
}

// A count that was canceled because it took too long is made again, with more time, for a
// caller who still waits.
func TestCanceledCountFailsNoWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &Gauge{Bound: Amount{Rows: 10}, Count: func(ctx context.Context, _ sqltx.Querier) (Amount, error) {
			select {
			case <-time.After(3 * minPatience / 2): // of the clock of synctest
				return Amount{}, nil
			case <-ctx.Done():
				return Amount{}, ctx.Err()
			}
		}}
		defer g.Close()
		if room, err := g.Write(t.Context(), Amount{Rows: 1}, func() error { return nil }); !room || err != nil {
			t.Errorf("room %t, %v", room, err)
		}
	})
}
