package sqltx

import (
	"context"
	"database/sql"
	"sync"
)

// Prepared is a statement that is run again and again. SQLite compiles it once
// for each connection instead of each time. PostgreSQL gets it as text: its
// drivers remember what they prepared, and know whether a pooler in front of the
// server permits that. Safe for concurrent use. It holds nothing that Close of
// the pool does not release.
type Prepared struct {
	db   *sql.DB
	text string
	keep bool

	mu   sync.Mutex
	stmt *sql.Stmt // nil until it is prepared
}

// NewPrepared returns the statement; nothing is prepared before Prepare.
func NewPrepared(db *sql.DB, d Dialect, text string) *Prepared {
	return &Prepared{db: db, text: text, keep: d == SQLite}
}

// Prepare compiles the statement unless that is done. Within a transaction it
// does nothing, because a pool of one connection has no other one for it: the
// statement is then run as text.
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
	if p.stmt != nil { // another call was first
		return stmt.Close() //nolint:sqlclosecheck // the other one is kept
	}
	p.stmt = stmt
	return nil
}

// Exec runs the statement in the transaction of ctx, if there is one.
func (p *Prepared) Exec(ctx context.Context, args ...any) (sql.Result, error) {
	if stmt := p.in(ctx); stmt != nil { //nolint:sqlclosecheck // kept until the pool, or the transaction, is closed
		return stmt.ExecContext(ctx, args...)
	}
	return Or(ctx, p.db).ExecContext(ctx, p.text, args...)
}

// Query runs the statement in the transaction of ctx, if there is one.
func (p *Prepared) Query(ctx context.Context, args ...any) (*sql.Rows, error) {
	if stmt := p.in(ctx); stmt != nil { //nolint:sqlclosecheck // kept until the pool, or the transaction, is closed
		return stmt.QueryContext(ctx, args...)
	}
	return Or(ctx, p.db).QueryContext(ctx, p.text, args...)
}

// in returns the compiled statement for the transaction of ctx, which closes it;
// nil before it is compiled.
func (p *Prepared) in(ctx context.Context) *sql.Stmt {
	p.mu.Lock()
	stmt := p.stmt
	p.mu.Unlock()
	if tx := From(ctx); tx != nil && stmt != nil {
		return tx.StmtContext(ctx, stmt)
	}
	return stmt
}
