package deadlettersql

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// filtersSuffix is appended to the name of the table for the table of remembered topic
// filters.
const filtersSuffix = "_filter"

// Schema returns the statements that create the tables of the letters and of the topic filters
// (<table>_filter), for services with their own migration tool. They do nothing if the tables
// exist.
func Schema(d sqltx.Dialect, table string) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	id             TEXT     PRIMARY KEY,
	state          TEXT     NOT NULL, -- dead or parked
	owner          TEXT     NOT NULL, -- client id of the process that parked it
	filter         TEXT     NOT NULL,
	ordering_key   TEXT     NOT NULL,
	service        TEXT     NOT NULL,
	event_id       TEXT     NOT NULL,
	reason         TEXT     NOT NULL,
	attempts       INTEGER  NOT NULL,
	received       BIGINT   NOT NULL, -- microseconds since 1970; so is written
	written        BIGINT   NOT NULL,
	topic          TEXT     NOT NULL,
	payload        %[2]s    NOT NULL,
	qos            SMALLINT NOT NULL,
	retain         BOOLEAN  NOT NULL,
	content_type   TEXT     NOT NULL,
	response_topic TEXT     NOT NULL,
	correlation    %[2]s    NOT NULL,
	expiry         BIGINT   NOT NULL, -- nanoseconds
	headers        TEXT     NOT NULL, -- JSON
	park_until     BIGINT   NOT NULL, -- microseconds since 1970
	omitted_size   BIGINT   NOT NULL,
	omitted_sha256 TEXT     NOT NULL,
	omitted_more   BOOLEAN  NOT NULL,
	claimed        BIGINT   NOT NULL DEFAULT 0, -- end of the claim, in milliseconds since 1970 by the clock of the database
	origin         BIGINT   NOT NULL, -- hash of the origin
	bytes          BIGINT   NOT NULL, -- size
	operation      TEXT     NOT NULL,
	error_type     TEXT     NOT NULL,
	replayed       TEXT     NOT NULL, -- how often, and the last edit
	fingerprint    TEXT     NOT NULL
)`, table, sqldialect.Blob(d)),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_by_state ON %[1]s (state, id)`, table),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_by_origin ON %[1]s (origin, bytes)`, table),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_by_owner ON %[1]s (state, owner, id)`, table),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_by_cause ON %[1]s (state, fingerprint, id)`, table),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	client_id TEXT NOT NULL,
	filter    TEXT NOT NULL, -- that the client subscribed to
	PRIMARY KEY (client_id, filter)
)`, table+filtersSuffix),
	}
}

const columns = `id, state, owner, filter, ordering_key, service, event_id, reason, attempts, received, written,
	topic, payload, qos, retain, content_type, response_topic, correlation, expiry, headers,
	park_until, omitted_size, omitted_sha256, omitted_more, origin, bytes,
	operation, error_type, replayed, fingerprint`

// causes looks up the fingerprints of a state after $2 one by one in the index, up to $3: a GROUP
// BY would read an index entry of every letter.
const causes = `WITH RECURSIVE causes (fingerprint, n) AS (
	SELECT (SELECT min(fingerprint) FROM {table} WHERE state = $1 AND fingerprint > $2), 1
	UNION ALL
	SELECT (SELECT min(fingerprint) FROM {table} WHERE state = $1 AND fingerprint > causes.fingerprint), n + 1
	FROM causes WHERE fingerprint IS NOT NULL AND n < $3
) `

// ofCause selects the letters of one cause. With an equality PostgreSQL would read the table in
// the order of ids for a cause of which it does not know how rare it is.
const ofCause = `state = $1 AND fingerprint >= causes.fingerprint AND fingerprint <= causes.fingerprint`

type statements struct {
	update, insert, get, list, remove, stats, count, origin, claim, release, causes, groups string
	filters, remember, forget                                                               string
}

func prepare(d sqltx.Dialect, table string) statements {
	text := func(s string) string {
		return strings.NewReplacer("{table}", table, "{columns}", columns, "{cause}", ofCause, "{replace}", replace(), "{now}", sqldialect.Now(d)).Replace(s)
	}
	s := statements{
		update: text(`UPDATE {table} SET state = $2, owner = $3, filter = $4, ordering_key = $5, service = $6, event_id = $7,
	reason = $8, attempts = $9, received = $10, written = $11, topic = $12, payload = $13, qos = $14, retain = $15,
	content_type = $16, response_topic = $17, correlation = $18, expiry = $19, headers = $20,
	park_until = $21, omitted_size = $22, omitted_sha256 = $23, omitted_more = $24, origin = $25, bytes = $26,
	operation = $27, error_type = $28, replayed = $29, fingerprint = $30, claimed = 0 WHERE id = $1`),
		insert: text(`INSERT INTO {table} ({columns})
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
	$21, $22, $23, $24, $25, $26, $27, $28, $29, $30)
	ON CONFLICT (id) DO UPDATE SET {replace}`), // a concurrent Put inserted the same letter after the UPDATE
		get: text(`SELECT {columns} FROM {table} WHERE id = $1`),
		// Only the conditions that a query needs are added: a plan for all of them could not
		// use an index.
		list:   text(`SELECT {columns} FROM {table} WHERE id > $1{conditions} ORDER BY id LIMIT $2`),
		remove: text(`DELETE FROM {table} WHERE id IN ({ids}) RETURNING origin, bytes`),
		stats:  text(`SELECT state, count(*) FROM {table} GROUP BY state`),
		count:  text(`SELECT count(*), coalesce(sum(bytes), 0) FROM {table}`),
		origin: text(`SELECT count(*), coalesce(sum(bytes), 0) FROM (SELECT bytes FROM {table} WHERE origin = $1 LIMIT $2) AS own`),
		claim:  text(`UPDATE {table} SET claimed = {now} + $2 WHERE id = $1 AND claimed <= {now}`),
		causes: text(causes + `SELECT count(fingerprint) FROM causes`),
		groups: text(causes + `SELECT fingerprint,
	(SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {cause} ORDER BY fingerprint, id LIMIT $4) AS part),
	(SELECT id FROM {table} WHERE {cause} ORDER BY fingerprint, id LIMIT 1),
	(SELECT id FROM {table} WHERE {cause} ORDER BY fingerprint DESC, id DESC LIMIT 1)
	FROM causes WHERE fingerprint IS NOT NULL ORDER BY n`),
		release: text(`UPDATE {table} SET claimed = 0 WHERE id = $1`),

		filters:  text(`SELECT filter FROM {table}` + filtersSuffix + ` WHERE client_id = $1`),
		remember: text(`INSERT INTO {table}` + filtersSuffix + ` (client_id, filter) VALUES ($1, $2) ON CONFLICT DO NOTHING`),
		forget:   text(`DELETE FROM {table}` + filtersSuffix + ` WHERE client_id = $1 AND filter = $2`),
	}
	return s
}

// listing returns the statement and the arguments for a query.
func (s *statements) listing(q deadletter.Query) (string, []any) {
	limit := q.Limit
	if limit <= 0 {
		limit = deadletter.DefaultPage
	}
	args := []any{q.After, limit}
	var conditions strings.Builder
	where := func(condition string, value any) {
		args = append(args, value)
		fmt.Fprintf(&conditions, " AND "+condition, len(args))
	}
	if q.State != "" {
		where("state = $%d", string(q.State))
	}
	if q.Owner != "" {
		where("owner = $%d", q.Owner)
	}
	if q.Filter != "" {
		where("filter = $%d", q.Filter)
	}
	if q.Fingerprint != "" {
		where("fingerprint = $%d", q.Fingerprint)
	}
	if !q.OverAt.IsZero() { // see Letter.Over
		where("state = 'parked' AND park_until > 0 AND park_until + (park_until - received) / 10 < $%d", q.OverAt.UnixMicro())
	}
	return strings.Replace(s.list, "{conditions}", conditions.String(), 1), args
}

// replace returns the assignments that overwrite all columns with the inserted values.
func replace() string {
	var sets []string
	for column := range strings.SplitSeq(columns, ",") {
		column = strings.TrimSpace(column)
		sets = append(sets, column+" = excluded."+column)
	}
	return strings.Join(append(sets, "claimed = 0"), ", ")
}
