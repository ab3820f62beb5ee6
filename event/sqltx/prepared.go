package sqltx

import (
	"context"
	"database/sql"
	"sync"
)

// Prepared is a statement that is run many times. On SQLite it is compiled once per
// connection. On PostgreSQL it is sent as text, because its drivers cache prepared statements
// themselves and know whether a connection pooler permits them. It is safe for concurrent use.
// Closing the database releases its resources.
type Prepared struct {
	db   *sql.DB
	text string
	keep bool

	mu   sync.Mutex
	stmt *sql.Stmt // nil until prepared
}

// NewPrepared returns a statement that is not compiled yet.
func NewPrepared(db *sql.DB, d Dialect, text string) *Prepared {
	return &Prepared{db: db, text: text, keep: d == SQLite}
}

// Prepare compiles the statement if necessary. It does nothing within a transaction, because a
// pool of one connection has no other connection for compiling; the statement is then run as
// text.
func (p *Prepared) Prepare(ctx context.Context) error {
	if !p.keep || From(ctx) != nil {
		return nil
	}
	p.mu.Lock()
	done := p.stmt != nil
	p.mu.Unlock()
	if done {
		return nil
	}
	stmt, err := p.db.PrepareContext(ctx, p.text)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stmt != nil { // a concurrent call has prepared it
		return stmt.Close() //nolint:sqlclosecheck // p.stmt is kept
	}
	p.stmt = stmt
	return nil
}

// Exec runs the statement, in the transaction of ctx if there is one.
func (p *Prepared) Exec(ctx context.Context, args ...any) (sql.Result, error) {
	if stmt := p.in(ctx); stmt != nil { //nolint:sqlclosecheck // kept until the pool, or the transaction, is closed
		return stmt.ExecContext(ctx, args...)
	}
	return Or(ctx, p.db).ExecContext(ctx, p.text, args...)
}

// Query runs the statement, in the transaction of ctx if there is one.
func (p *Prepared) Query(ctx context.Context, args ...any) (*sql.Rows, error) {
	if stmt := p.in(ctx); stmt != nil { //nolint:sqlclosecheck // kept until the pool, or the transaction, is closed
		return stmt.QueryContext(ctx, args...)
	}
	return Or(ctx, p.db).QueryContext(ctx, p.text, args...)
}

// in returns the compiled statement for the transaction of ctx, which closes it, or nil if it
// is not compiled.
func (p *Prepared) in(ctx context.Context) *sql.Stmt {
	p.mu.Lock()
	stmt := p.stmt
	p.mu.Unlock()
	if tx := From(ctx); tx != nil && stmt != nil {
		return tx.StmtContext(ctx, stmt)
	}
	return stmt
}
