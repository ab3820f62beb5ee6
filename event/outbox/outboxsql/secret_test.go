package outboxsql_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// No error has the password of the database.
func TestErrorsKeepTheSecret(t *testing.T) {
	t.Parallel()
	const secret = "planted-secret"
	db, err := sql.Open("pgx", "postgres://user:"+secret+"@127.0.0.1:1/db?sslmode=disable&connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := outboxsql.New(db, outboxsql.Options{Dialect: sqltx.Postgres})
	if err != nil {
		t.Fatal(err)
	}
	_, read := s.Read(t.Context(), 0, 1)
	_, stats := s.Stats(t.Context())
	for name, err := range map[string]error{
		"Migrate": s.Migrate(t.Context()), "Append": s.Append(t.Context(), entry("k", 1)), "Read": read, "Stats": stats,
		"Delete": s.Delete(t.Context(), 1), "Quarantine": s.Quarantine(t.Context(), 1, "x"),
	} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
