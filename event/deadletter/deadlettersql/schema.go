package deadlettersql

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// filtersSuffix is what the table of remembered topic filters has behind the
// name of that of the letters.
const filtersSuffix = "_filter"

// Schema returns the statements that make the tables, that of the letters and
// <table>_filter with the topic filters of each client id, for who migrates with
// a tool of its own. They do nothing to a table that is there.
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
	headers        TEXT     NOT NULL -- JSON
)`, table, d.Blob()),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_state ON %[1]s (state, owner, filter, id)`, table),
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	client_id TEXT NOT NULL,
	filter    TEXT NOT NULL, -- that the client subscribed to
	PRIMARY KEY (client_id, filter)
)`, table+filtersSuffix),
	}
}

const columns = `id, state, owner, filter, ordering_key, service, event_id, reason, attempts, received, written,
	topic, payload, qos, retain, content_type, response_topic, correlation, expiry, headers`

type statements struct{ update, insert, get, list, remove, stats, count string }

func prepare(d sqltx.Dialect, table string) statements {
	text := func(s string) string {
		return strings.NewReplacer("{table}", table, "{columns}", columns, "{replace}", replace()).Replace(s)
	}
	s := statements{
		update: text(`UPDATE {table} SET state = $2, owner = $3, filter = $4, ordering_key = $5, service = $6, event_id = $7,
	reason = $8, attempts = $9, received = $10, written = $11, topic = $12, payload = $13, qos = $14, retain = $15,
	content_type = $16, response_topic = $17, correlation = $18, expiry = $19, headers = $20 WHERE id = $1`),
		insert: text(`INSERT INTO {table} ({columns})
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
	ON CONFLICT (id) DO UPDATE SET {replace}`), // another one has put the same letter since the update
		get: text(`SELECT {columns} FROM {table} WHERE id = $1`),
		list: text(`SELECT {columns} FROM {table} WHERE id > $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR owner = $3)
	AND ($4 = '' OR filter = $4) ORDER BY id LIMIT $5`),
		remove: text(`DELETE FROM {table} WHERE id IN ({ids})`),
		stats:  text(`SELECT count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'parked') FROM {table}`),
		count:  text(`SELECT count(*) FROM {table}`),
	}
	if d == sqltx.Postgres {
		// A parameter that is compared with a constant has no type of its own.
		s.list = strings.NewReplacer("$2 =", "$2::text =", "$3 =", "$3::text =", "$4 =", "$4::text =").Replace(s.list)
	}
	return s
}

// replace sets all columns to what was to be inserted.
func replace() string {
	var sets []string
	for column := range strings.SplitSeq(columns, ",") {
		column = strings.TrimSpace(column)
		sets = append(sets, column+" = excluded."+column)
	}
	return strings.Join(sets, ", ")
}
