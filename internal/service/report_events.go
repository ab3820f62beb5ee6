package service

import (
	"context"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// ReportEvents handles the events that collectors publish. A message is
// acknowledged only after its handler returned nil; a Kratos 400 sends it to
// the dead letters at once, any other error is retried.
type ReportEvents struct {
	usecase *biz.ReportUsecase
}

// NewReportEvents returns the handlers over their use case.
func NewReportEvents(usecase *biz.ReportUsecase) *ReportEvents {
	return &ReportEvents{usecase: usecase}
}

// SaveEventReport saves a valid report.
func (e *ReportEvents) SaveEventReport(ctx context.Context, _ string, _ broker.Headers, msg *reportv1.RealTimeWarehousingData) error {
	created, err := time.Parse(time.RFC3339Nano, msg.CreateTime)
	if err != nil {
		return invalid("create_time", "not RFC 3339")
	}
	return e.usecase.SaveEvent(ctx, biz.EventReport{
		EventID:    msg.EventId,
		EventName:  msg.EventName,
		Data:       msg.ReportData,
		CreateTime: created,
	})
}

// SaveUserReport saves the record of a rejected report.
func (e *ReportEvents) SaveUserReport(ctx context.Context, _ string, _ broker.Headers, msg *reportv1.AcceptStatusReportData) error {
	return e.usecase.SaveStatus(ctx, biz.StatusReport{
		EventID:       msg.EventId,
		DataName:      msg.DataName,
		ReportType:    msg.ReportType,
		Data:          msg.ReportData,
		ErrorReason:   msg.ErrorReason,
		ErrorHandling: msg.ErrorHandling,
		Status:        msg.Status,
		PartEvent:     msg.PartEvent,
		PartDate:      msg.PartDate,
	})
}

func eventMessage(e biz.EventReport) *reportv1.RealTimeWarehousingData {
	return &reportv1.RealTimeWarehousingData{
		EventId:    e.EventID,
		EventName:  e.EventName,
		ReportData: e.Data,
		CreateTime: e.CreateTime.UTC().Format(time.RFC3339Nano),
	}
}

func statusMessage(s biz.StatusReport) *reportv1.AcceptStatusReportData {
	return &reportv1.AcceptStatusReportData{
		EventId:       s.EventID,
		DataName:      s.DataName,
		ReportType:    s.ReportType,
		ReportData:    s.Data,
		ErrorReason:   s.ErrorReason,
		ErrorHandling: s.ErrorHandling,
		Status:        s.Status,
		PartEvent:     s.PartEvent,
		PartDate:      s.PartDate,
	}
}
