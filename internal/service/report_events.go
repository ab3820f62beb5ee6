package service

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

var _ reportv1.ReportEventsMQTTServer = (*ReportService)(nil)

// SaveEventReport implements reportv1.ReportEventsMQTTServer. It saves a valid report.
// The message is acknowledged after SaveEventReport returns nil. After a Kratos 400 it
// becomes a dead letter at once; after any other error it is retried.
func (s *ReportService) SaveEventReport(ctx context.Context, msg *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	return nil, single(s.SaveEventReports(ctx, []*reportv1.RealTimeWarehousingData{msg}))
}

// SaveEventReports saves many valid reports together. The rules of SaveEventReport
// apply to each.
func (s *ReportService) SaveEventReports(ctx context.Context, list []*reportv1.RealTimeWarehousingData) error {
	return saveEach(ctx, list, eventReport, s.usecase.SaveEvents)
}

// SaveUserReport implements reportv1.ReportEventsMQTTServer. It saves the record of a
// rejected report. The rules of SaveEventReport apply.
func (s *ReportService) SaveUserReport(ctx context.Context, msg *reportv1.AcceptStatusReportData) (*emptypb.Empty, error) {
	return nil, single(s.SaveUserReports(ctx, []*reportv1.AcceptStatusReportData{msg}))
}

// SaveUserReports saves the records of many rejected reports together. The rules of
// SaveEventReport apply to each.
func (s *ReportService) SaveUserReports(ctx context.Context, list []*reportv1.AcceptStatusReportData) error {
	return saveEach(ctx, list, statusReport, s.usecase.SaveStatuses)
}

func eventReport(msg *reportv1.RealTimeWarehousingData) (biz.EventReport, error) {
	created, err := time.Parse(time.RFC3339Nano, msg.CreateTime)
	if err != nil {
		return biz.EventReport{}, invalid("create_time", "not RFC 3339")
	}
	return biz.EventReport{
		EventID:    msg.EventId,
		EventName:  msg.EventName,
		Data:       msg.ReportData,
		CreateTime: created,
	}, nil
}

func statusReport(msg *reportv1.AcceptStatusReportData) (biz.StatusReport, error) {
	return biz.StatusReport{
		EventID:       msg.EventId,
		DataName:      msg.DataName,
		ReportType:    msg.ReportType,
		Data:          msg.ReportData,
		ErrorReason:   msg.ErrorReason,
		ErrorHandling: msg.ErrorHandling,
		Status:        msg.Status,
		PartEvent:     msg.PartEvent,
		PartDate:      msg.PartDate,
	}, nil
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
