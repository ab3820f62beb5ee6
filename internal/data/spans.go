package data

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Values of the attribute db.system.name, by OpenTelemetry's database conventions.
const (
	systemName     = attribute.Key("db.system.name")
	systemSQLite   = "sqlite"
	systemPostgres = "postgresql"
)

// opener opens pools whose statements become spans.
type opener struct {
	spans trace.TracerProvider // nil makes no spans
}

// open opens a pool by the name of a driver.
func (o opener) open(driverName, source, system string) (*sql.DB, error) {
	if o.spans == nil {
		return sql.Open(driverName, source)
	}
	return otelsql.Open(driverName, source, o.options(system)...)
}

// openDB opens a pool of a connector.
func (o opener) openDB(c driver.Connector, system string) *sql.DB {
	if o.spans == nil {
		return sql.OpenDB(c)
	}
	return otelsql.OpenDB(c, o.options(system)...)
}

// options makes one span of each statement. The span has the statement's text, which
// contains placeholders and no values. Statements outside a trace, such as those that
// poll an outbox, make no span.
func (o opener) options(system string) []otelsql.Option {
	return []otelsql.Option{
		otelsql.WithTracerProvider(o.spans),
		otelsql.WithAttributes(systemName.String(system)),
		otelsql.WithSpanNameFormatter(spanName),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			DisableErrSkip: true, OmitConnResetSession: true, OmitConnPrepare: true, OmitRows: true, OmitConnectorConnect: true,
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return trace.SpanContextFromContext(ctx).IsValid()
			},
		}),
	}
}

// spanName names a span by its statement, for example "INSERT realtime_warehousing".
// Without a statement, as at the end of a transaction, the name is that of the method:
// "COMMIT".
func spanName(_ context.Context, method otelsql.Method, query string) string {
	words := strings.Fields(query)
	if len(words) == 0 {
		switch method {
		case otelsql.MethodConnBeginTx:
			return "BEGIN"
		case otelsql.MethodTxCommit:
			return "COMMIT"
		case otelsql.MethodTxRollback:
			return "ROLLBACK"
		}
		return string(method)
	}
	name := strings.ToUpper(words[0])
	for i, word := range words[:len(words)-1] {
		switch strings.ToUpper(word) {
		case "INTO", "FROM", "UPDATE":
			table, _, _ := strings.Cut(words[i+1], "(")
			return name + " " + table
		}
	}
	return name
}
