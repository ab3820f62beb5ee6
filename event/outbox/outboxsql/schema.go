package outboxsql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Schema returns the statements that create the tables, for services with their own migration
// tool. They do nothing if the tables exist.
func Schema(d sqltx.Dialect, table string) []string {
	// Waiting entries are read by seq and counted by size with this index alone. The indexes
	// of earlier versions are dropped.
	waiting, former := "CREATE INDEX IF NOT EXISTS %[1]s_fill ON %[1]s (quarantined, seq, size)", "DROP INDEX IF EXISTS %[1]s_waiting"
	aside := "SELECT 1"
	if d == sqltx.Postgres { // a reason may exceed the maximum size of an index row
		waiting = "CREATE INDEX IF NOT EXISTS %[1]s_queue ON %[1]s (seq, size) WHERE " + isWaiting(d)
		former = "DROP INDEX IF EXISTS %[1]s_waiting, %[1]s_fill"
		aside = "CREATE INDEX IF NOT EXISTS %[1]s_aside ON %[1]s (seq, size) WHERE quarantined > ''"
	}
	return slices.Concat([]string{
		entryTable(d, table, "quarantined    TEXT     NOT NULL DEFAULT '' -- why it can never be sent"),
		fmt.Sprintf(waiting, table), strings.ReplaceAll(aside, "%[1]s", table),
		fmt.Sprintf(former, table),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s_lease (
	name    TEXT   PRIMARY KEY,
	owner   TEXT   NOT NULL,
	expires BIGINT NOT NULL -- milliseconds since 1970, by the clock of the database
)`, table),
	}, delayedSchema(d, table))
}

// entryTable returns the statement that creates a table of entries, which has one column more.
func entryTable(d sqltx.Dialect, table, more string) string {
	return fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	seq            %s,
	id             TEXT     NOT NULL,
	ordering_key   TEXT     NOT NULL,
	topic          TEXT     NOT NULL,
	payload        %[3]s    NOT NULL,
	qos            SMALLINT NOT NULL,
	retain         BOOLEAN  NOT NULL,
	content_type   TEXT     NOT NULL,
	response_topic TEXT     NOT NULL,
	correlation    %[3]s    NOT NULL,
	expiry         BIGINT   NOT NULL, -- nanoseconds
	headers        TEXT     NOT NULL, -- JSON: pairs, or an object with those and what else an entry has
	accepted       BIGINT   NOT NULL, -- milliseconds since 1970
	size           BIGINT   NOT NULL, -- bytes
	%[4]s
)`, table, sqldialect.Serial(d), sqldialect.Blob(d), more)
}

// isWaiting returns the condition for an entry that is not quarantined. For a table that was
// never analysed, PostgreSQL estimates that an equality selects half a percent of the rows,
// and would read and sort all waiting entries instead of following the index to the first of
// them. For this condition it estimates two thirds.
func isWaiting(d sqltx.Dialect) string {
	if d == sqltx.Postgres {
		return "(quarantined > '') IS NOT TRUE"
	}
	return "quarantined = ''"
}

// statements are the statements of one store, with the names of its tables.
type statements struct {
	insert, read, remove                 string
	quarantine, retry, removeQuarantined string
	quarantined, countQuarantined, sizes string
	one, quarantinedOfKeys               string // see askQuarantine
	count, oldest                        string
	claim, release, holder               string
	rival, succeed                       string // see succeed
	visible, holders                     string // PostgreSQL: see settled
	left                                 string // PostgreSQL: which of some entries are waiting
}

// readWithout returns the read statement without the entries of n orders.
func (s *statements) readWithout(n int) string {
	return strings.Replace(s.read, "ORDER BY",
		"AND "+order+" NOT IN ("+numbered(4, n)+") ORDER BY", 1)
}

// order is the SQL expression for [outbox.Entry.Order].
const order = "CASE WHEN ordering_key = '' THEN topic ELSE ordering_key END"

// stored are the columns of what a publisher gave, and columns are those that scanEntry reads.
const (
	stored = `id, ordering_key, topic, payload, qos, retain, content_type, response_topic,
	correlation, expiry, headers`
	columns = "seq, " + stored + ", accepted"
)

func prepare(d sqltx.Dialect, table string) statements {
	name := func(text string) string {
		return strings.NewReplacer("{table}", table, "{now}", sqldialect.Now(d), "{waiting}", isWaiting(d)).Replace(text)
	}
	s := statements{
		read: name(`SELECT ` + columns + `
	FROM {table} WHERE seq > $1 AND seq <= $2 AND {waiting} ORDER BY seq LIMIT $3`),
		// Only entries that are not quarantined are updated, so the previous value is always
		// "".
		quarantine:        name(`UPDATE {table} SET quarantined = $2 WHERE seq = $1 AND quarantined = '' RETURNING size, ''`),
		remove:            name(`DELETE FROM {table} WHERE seq IN ({seqs}) RETURNING size, quarantined`),
		retry:             name(`UPDATE {table} SET quarantined = '' WHERE seq IN ({seqs}) AND quarantined > '' RETURNING size, ''`),
		removeQuarantined: name(`DELETE FROM {table} WHERE seq IN ({seqs}) AND quarantined > '' RETURNING size, quarantined`),
		quarantined: name(`SELECT ` + columns + `, quarantined
	FROM {table} WHERE seq > $1 AND quarantined > '' ORDER BY seq LIMIT $2`),
		countQuarantined:  name(`SELECT count(*), COALESCE(sum(size), 0) FROM {table} WHERE quarantined > ''`),
		one:               name(`SELECT ` + order + `, size FROM {table} WHERE seq = $1 AND quarantined = ''`),
		quarantinedOfKeys: name(`SELECT ` + order + `, size FROM {table} WHERE quarantined > ''`),
		sizes:             name(`SELECT count(*), COALESCE(sum(size), 0) FROM {table} WHERE seq IN ({seqs}) AND quarantined > ''`),
		count:             name(`SELECT count(*), COALESCE(sum(size), 0) FROM {table} WHERE {waiting}`),
		oldest:            name(`SELECT seq, accepted FROM {table} WHERE seq >= $1 AND {waiting} ORDER BY seq LIMIT 1`),
		claim: name(`INSERT INTO {table}_lease (name, owner, expires) VALUES ('relay', $1, {now} + $2)
	ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
	WHERE {table}_lease.owner = excluded.owner OR {table}_lease.expires < {now}`),
		holder:  name(`SELECT owner, expires < {now} FROM {table}_lease WHERE name = 'relay'`),
		rival:   name(`SELECT owner, expires FROM {table}_lease WHERE name = 'relay'`),
		succeed: name(`UPDATE {table}_lease SET owner = $1, expires = {now} + $2 WHERE name = 'relay' AND owner = $3 AND expires = $4`),
		release: name(`DELETE FROM {table}_lease WHERE name = 'relay' AND owner = $1`),
	}
	s.insert = name(`INSERT INTO {table} (` + stored + `, accepted, size)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING seq`)
	if d == sqltx.Postgres {
		// Rows that are locked by another transaction are skipped, so that the others do not
		// wait.
		free := "ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE seq %s FOR UPDATE SKIP LOCKED))"
		s.remove = name("DELETE FROM {table} WHERE " + fmt.Sprintf(free, "IN ({seqs})") + " RETURNING size, quarantined")
		s.quarantine = name("UPDATE {table} SET quarantined = $2 WHERE " + fmt.Sprintf(free, "= $1") + " AND quarantined = '' RETURNING size, ''")
		s.left = name("SELECT seq FROM {table} WHERE seq IN ({seqs}) AND quarantined = ''")
		// With two range conditions PostgreSQL would estimate that almost nothing is selected,
		// see isWaiting. Entries that are not settled come after all settled ones.
		s.read = name(`SELECT ` + columns + ` FROM (SELECT ` + columns + `
	FROM {table} WHERE seq > $1 AND {waiting} ORDER BY seq LIMIT $3) AS next WHERE seq <= $2 ORDER BY seq`)
		s.visible = name(`SELECT COALESCE((SELECT seq FROM {table} WHERE seq > $1 AND {waiting} ORDER BY seq DESC LIMIT 1), 0)`)
		s.holders = name(`SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
	AND granted AND relation = '{table}'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	}
	return s
}

// list returns a list of parameters, and their values.
func list(seqs []uint64) (parameters string, args []any) {
	for _, seq := range seqs {
		args = append(args, int64(seq))
	}
	return numbered(1, len(seqs)), args
}

// numbered returns n parameters, starting with $first.
func numbered(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", first+i)
	}
	return strings.TrimPrefix(b.String(), ", ")
}
