package data

import (
	"context"
	"database/sql"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

const (
	insertEvents = `INSERT INTO realtime_warehousing (event_id, event_name, report_data, create_time)
		SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3
		FROM {rows} WHERE true ON CONFLICT (event_id) DO NOTHING`

	insertStatuses = `INSERT INTO acceptance_status (event_id, data_name, report_type, report_data,
			error_reason, error_handling, status, part_event, part_date)
		SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3,
			value ->> 4, value ->> 5, CAST(value ->> 6 AS INTEGER), value ->> 7, value ->> 8
		FROM {rows} WHERE true ON CONFLICT (event_id) DO NOTHING`

	selectEvents = `SELECT seq, event_id, event_name, report_data, create_time
		FROM realtime_warehousing WHERE seq < $1 ORDER BY seq DESC LIMIT $2`

	selectStatuses = `SELECT seq, event_id, data_name, report_type, report_data,
			error_reason, error_handling, status, part_event, part_date
		FROM acceptance_status WHERE seq < $1 ORDER BY seq DESC LIMIT $2`
)

type reportRepo struct{ data *Data }

// NewReportRepo returns a repository that stores reports in the database.
func NewReportRepo(data *Data) biz.ReportRepo { return &reportRepo{data: data} }

// SaveEvents implements biz.ReportRepo.
func (r *reportRepo) SaveEvents(ctx context.Context, events []biz.EventReport) error {
	rows := make([][]any, len(events))
	for i, e := range events {
		rows[i] = []any{e.EventID, e.EventName, e.Data, formatTime(e.CreateTime)}
	}
	return r.data.insert(ctx, insertEvents, rows)
}

// SaveStatuses implements biz.ReportRepo.
func (r *reportRepo) SaveStatuses(ctx context.Context, statuses []biz.StatusReport) error {
	rows := make([][]any, len(statuses))
	for i, s := range statuses {
		rows[i] = []any{
			s.EventID, s.DataName, s.ReportType, s.Data,
			s.ErrorReason, s.ErrorHandling, s.Status, s.PartEvent, s.PartDate,
		}
	}
	return r.data.insert(ctx, insertStatuses, rows)
}

// ListEvents implements biz.ReportRepo.
func (r *reportRepo) ListEvents(ctx context.Context, page biz.Page) ([]biz.EventReport, int64, error) {
	return list(ctx, r.data, page, scanEvent, selectEvents)
}

// ListStatuses implements biz.ReportRepo.
func (r *reportRepo) ListStatuses(ctx context.Context, page biz.Page) ([]biz.StatusReport, int64, error) {
	return list(ctx, r.data, page, scanStatus, selectStatuses)
}

func scanEvent(rows *sql.Rows) (r row, e biz.EventReport, err error) {
	var created string
	err = rows.Scan(&r.seq, &e.EventID, &e.EventName, &e.Data, &created)
	r.holds(e.EventID, e.EventName, e.Data)
	if err != nil {
		return r, e, err
	}
	if e.CreateTime, err = parseTime(created); err != nil {
		return r, e, err
	}
	return r, e, readable(e.EventID, e.EventName, e.Data)
}

func scanStatus(rows *sql.Rows) (r row, s biz.StatusReport, err error) {
	err = rows.Scan(&r.seq, &s.EventID, &s.DataName, &s.ReportType, &s.Data,
		&s.ErrorReason, &s.ErrorHandling, &s.Status, &s.PartEvent, &s.PartDate)
	r.holds(s.EventID, s.DataName, s.ReportType, s.Data, s.ErrorReason, s.ErrorHandling, s.PartEvent, s.PartDate)
	if err != nil {
		return r, s, err
	}
	return r, s, readable(s.EventID, s.DataName, s.ReportType, s.Data, s.ErrorReason, s.ErrorHandling, s.PartEvent, s.PartDate)
}
