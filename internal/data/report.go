package data

import (
	"context"
	"database/sql"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

const (
	insertEvent = `INSERT INTO realtime_warehousing (event_id, event_name, report_data, create_time)
		VALUES ($1, $2, $3, $4) ON CONFLICT (event_id) DO NOTHING`

	insertStatus = `INSERT INTO acceptance_status (event_id, data_name, report_type, report_data,
			error_reason, error_handling, status, part_event, part_date)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (event_id) DO NOTHING`

	selectEvents = `SELECT seq, event_id, event_name, report_data, create_time
		FROM realtime_warehousing WHERE seq < $1 ORDER BY seq DESC LIMIT $2`

	selectStatuses = `SELECT seq, event_id, data_name, report_type, report_data,
			error_reason, error_handling, status, part_event, part_date
		FROM acceptance_status WHERE seq < $1 ORDER BY seq DESC LIMIT $2`
)

type reportRepo struct{ data *Data }

// NewReportRepo keeps reports in the database.
func NewReportRepo(data *Data) biz.ReportRepo { return &reportRepo{data: data} }

// SaveEvent implements biz.ReportRepo.
func (r *reportRepo) SaveEvent(ctx context.Context, e biz.EventReport) error {
	return r.data.exec(ctx, insertEvent, e.EventID, e.EventName, e.Data, formatTime(e.CreateTime))
}

// SaveStatus implements biz.ReportRepo.
func (r *reportRepo) SaveStatus(ctx context.Context, s biz.StatusReport) error {
	return r.data.exec(ctx, insertStatus, s.EventID, s.DataName, s.ReportType, s.Data,
		s.ErrorReason, s.ErrorHandling, s.Status, s.PartEvent, s.PartDate)
}

// ListEvents implements biz.ReportRepo.
func (r *reportRepo) ListEvents(ctx context.Context, page biz.Page) ([]biz.EventReport, int64, error) {
	return list(ctx, r.data, page, scanEvent, selectEvents)
}

// ListStatuses implements biz.ReportRepo.
func (r *reportRepo) ListStatuses(ctx context.Context, page biz.Page) ([]biz.StatusReport, int64, error) {
	return list(ctx, r.data, page, scanStatus, selectStatuses)
}

func scanEvent(rows *sql.Rows) (seq int64, e biz.EventReport, err error) {
	var created string
	if err = rows.Scan(&seq, &e.EventID, &e.EventName, &e.Data, &created); err != nil {
		return seq, e, err
	}
	e.CreateTime, err = parseTime(created)
	return seq, e, err
}

func scanStatus(rows *sql.Rows) (seq int64, s biz.StatusReport, err error) {
	err = rows.Scan(&seq, &s.EventID, &s.DataName, &s.ReportType, &s.Data,
		&s.ErrorReason, &s.ErrorHandling, &s.Status, &s.PartEvent, &s.PartDate)
	return seq, s, err
}
