package outboxsql

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Schema returns the statements that make the tables, for who migrates with a
// tool of its own. They do nothing to tables that are there.
func Schema(d sqltx.Dialect, table string) []string {
	// What is waiting is read by seq and counted by size from this index alone.
	// Those of earlier versions are not needed any more.
	waiting, former := "CREATE INDEX IF NOT EXISTS %[1]s_fill ON %[1]s (quarantined, seq, size)", "DROP INDEX IF EXISTS %[1]s_waiting"
	aside := "SELECT 1"
	if d == sqltx.Postgres { // a reason may be longer than what an index of it takes
		waiting = "CREATE INDEX IF NOT EXISTS %[1]s_queue ON %[1]s (seq, size) WHERE " + isWaiting(d)
		former = "DROP INDEX IF EXISTS %[1]s_waiting, %[1]s_fill"
		aside = "CREATE INDEX IF NOT EXISTS %[1]s_aside ON %[1]s (seq, size) WHERE quarantined > ''"
	}
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
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
	quarantined    TEXT     NOT NULL DEFAULT '' -- why it can never be sent
)`, table, sqldialect.Serial(d), sqldialect.Blob(d)),
		fmt.Sprintf(waiting, table), strings.ReplaceAll(aside, "%[1]s", table),
		fmt.Sprintf(former, table),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s_lease (
	name    TEXT   PRIMARY KEY,
	owner   TEXT   NOT NULL,
	expires BIGINT NOT NULL -- milliseconds since 1970, by the clock of the database
)`, table),
	}
}

// isWaiting is the condition of an entry that is not quarantined. While a table
// was never analysed, PostgreSQL takes an equality to hold for half a percent of
// it, so that it would rather read and sort all that wait than follow the index to
// the first of them. Of this one it takes two thirds.
func isWaiting(d sqltx.Dialect) string {
	if d == sqltx.Postgres {
		return "(quarantined > '') IS NOT TRUE"
	}
	return "quarantined = ''"
}

// statements are those of one store, with the name of its table in them.
type statements struct {
	insert, read, remove                 string
	quarantine, requeue, discard         string
	quarantined, countQuarantined, sizes string
	one, quarantinedOfKeys               string // see askQuarantine
	count, oldest                        string
	claim, release, holder               string
	rival, succeed                       string // see succeed
	visible, holders                     string // PostgreSQL: see settled
	left                                 string // PostgreSQL: which of some wait
}

// readWithout is read, but for entries of n orders.
func (s *statements) readWithout(n int) string {
	return strings.Replace(s.read, "ORDER BY",
		"AND "+order+" NOT IN ("+numbered(4, n)+") ORDER BY", 1)
}

// order is what [outbox.Entry.Order] is.
const order = "CASE WHEN ordering_key = '' THEN topic ELSE ordering_key END"

// columns are those that scanEntry reads.
const columns = `seq, id, ordering_key, topic, payload, qos, retain, content_type, response_topic,
	correlation, expiry, headers, accepted`

func prepare(d sqltx.Dialect, table string) statements {
	name := func(text string) string {
		return strings.NewReplacer("{table}", table, "{now}", sqldialect.Now(d), "{waiting}", isWaiting(d)).Replace(text)
	}
	s := statements{
		read: name(`SELECT ` + columns + `
	FROM {table} WHERE seq > $1 AND seq <= $2 AND {waiting} ORDER BY seq LIMIT $3`),
		// What was quarantined before is not taken once more, so "" is what it was.
		quarantine: name(`UPDATE {table} SET quarantined = $2 WHERE seq = $1 AND quarantined = '' RETURNING size, ''`),
		remove:     name(`DELETE FROM {table} WHERE seq IN ({seqs}) RETURNING size, quarantined`),
		requeue:    name(`UPDATE {table} SET quarantined = '' WHERE seq IN ({seqs}) AND quarantined > '' RETURNING size, ''`),
		discard:    name(`DELETE FROM {table} WHERE seq IN ({seqs}) AND quarantined > '' RETURNING size, quarantined`),
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
	s.insert = name(`INSERT INTO {table} (id, ordering_key, topic, payload, qos, retain, content_type, response_topic,
	correlation, expiry, headers, accepted, size)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING seq`)
	if d == sqltx.Postgres {
		// A row that somebody has locked keeps nobody waiting for the others.
		free := "ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE seq %s FOR UPDATE SKIP LOCKED))"
		s.remove = name("DELETE FROM {table} WHERE " + fmt.Sprintf(free, "IN ({seqs})") + " RETURNING size, quarantined")
		s.quarantine = name("UPDATE {table} SET quarantined = $2 WHERE " + fmt.Sprintf(free, "= $1") + " AND quarantined = '' RETURNING size, ''")
		s.left = name("SELECT seq FROM {table} WHERE seq IN ({seqs}) AND quarantined = ''")
		// Two bounds in one condition would be taken to leave next to nothing of the
		// table, see isWaiting. What is not settled is behind all that is.
		s.read = name(`SELECT ` + columns + ` FROM (SELECT ` + columns + `
	FROM {table} WHERE seq > $1 AND {waiting} ORDER BY seq LIMIT $3) AS next WHERE seq <= $2 ORDER BY seq`)
		s.visible = name(`SELECT COALESCE((SELECT seq FROM {table} WHERE seq > $1 AND {waiting} ORDER BY seq DESC LIMIT 1), 0)`)
		s.holders = name(`SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
	AND granted AND relation = '{table}'::regclass AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	}
	return s
}
