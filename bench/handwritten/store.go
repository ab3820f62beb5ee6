package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// The statements create the tables of the service.
const (
	eventTable = `CREATE TABLE IF NOT EXISTS realtime_warehousing (
	seq %s, event_id TEXT NOT NULL UNIQUE, event_name TEXT NOT NULL, report_data TEXT NOT NULL, create_time TEXT NOT NULL)`
	statusTable = `CREATE TABLE IF NOT EXISTS acceptance_status (
	seq %s, event_id TEXT NOT NULL UNIQUE, data_name TEXT NOT NULL, report_type TEXT NOT NULL, report_data TEXT NOT NULL,
	error_reason TEXT NOT NULL, error_handling TEXT NOT NULL, status INTEGER NOT NULL, part_event TEXT NOT NULL, part_date TEXT NOT NULL)`

	insertEvent = `INSERT INTO realtime_warehousing (event_id, event_name, report_data, create_time)
	VALUES ($1, $2, $3, $4) ON CONFLICT (event_id) DO NOTHING`
	insertStatus = `INSERT INTO acceptance_status (event_id, data_name, report_type, report_data, error_reason, error_handling, status, part_event, part_date)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (event_id) DO NOTHING`
	insertEvents = `INSERT INTO realtime_warehousing (event_id, event_name, report_data, create_time)
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (event_id) DO NOTHING`
)

// store stores reports, each event id once.
type store struct {
	db            *sql.DB
	event, status *sql.Stmt
	lists         bool // the driver accepts lists, so that one statement stores a batch
}

func open(ctx context.Context, driver, source string) (*store, error) {
	name, serial, dsn := "pgx", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", source
	if driver == "sqlite" {
		name, serial = "sqlite", "INTEGER PRIMARY KEY"
		dsn = "file:" + (&url.URL{Path: source}).EscapedPath() +
			"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	}
	db, err := sql.Open(name, dsn)
	if err != nil {
		return nil, err
	}
	if driver == "sqlite" {
		db.SetMaxOpenConns(1)
	}
	for _, table := range []string{eventTable, statusTable} {
		if _, err := db.ExecContext(ctx, fmt.Sprintf(table, serial)); err != nil {
			return nil, err
		}
	}
	s := &store{db: db, lists: driver != "sqlite"}
	if s.event, err = db.PrepareContext(ctx, insertEvent); err != nil {
		return nil, err
	}
	s.status, err = db.PrepareContext(ctx, insertStatus)
	return s, err
}

func (s *store) close() { _ = s.db.Close() }

// save stores a batch in one transaction.
func (s *store) save(ctx context.Context, events []*reportv1.RealTimeWarehousingData, statuses []*reportv1.AcceptStatusReportData) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // has no effect after the commit
	if s.lists {
		err = saveList(ctx, tx, events)
	} else {
		err = s.saveEach(tx, events)
	}
	if err != nil {
		return err
	}
	status := tx.Stmt(s.status)
	for _, r := range statuses {
		if _, err := status.Exec(r.EventId, r.DataName, r.ReportType, r.ReportData, r.ErrorReason, r.ErrorHandling, r.Status, r.PartEvent, r.PartDate); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func (s *store) saveEach(tx *sql.Tx, events []*reportv1.RealTimeWarehousingData) error {
	insert := tx.Stmt(s.event)
	for _, e := range events {
		if _, err := insert.Exec(e.EventId, e.EventName, e.ReportData, e.CreateTime); err != nil {
			return err
		}
	}
	return nil
}

func saveList(ctx context.Context, tx *sql.Tx, events []*reportv1.RealTimeWarehousingData) error {
	if len(events) == 0 {
		return nil
	}
	columns := make([][]string, 4)
	for _, e := range events {
		for i, value := range []string{e.EventId, e.EventName, e.ReportData, e.CreateTime} {
			columns[i] = append(columns[i], value)
		}
	}
	_, err := tx.ExecContext(ctx, insertEvents, columns[0], columns[1], columns[2], columns[3])
	return err
}
