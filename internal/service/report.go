package service

import (
	"context"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// ReportService implements reportv1.ReportServiceServer, reportv1.ReportServiceHTTPServer
// and reportv1.ReportEventsMQTTServer.
type ReportService struct {
	reportv1.UnimplementedReportServiceServer
	usecase *biz.ReportUsecase
}

// NewReportService returns a service for the given use case.
func NewReportService(usecase *biz.ReportUsecase) *ReportService {
	return &ReportService{usecase: usecase}
}

// PostReport implements reportv1.ReportServiceServer.
func (s *ReportService) PostReport(ctx context.Context, req *reportv1.PostReportRequest) (*reportv1.PostReportReply, error) {
	receipt, err := s.usecase.Post(ctx, biz.Report{
		Type:      req.ReportType,
		AppID:     req.AppId,
		AppKey:    req.AppKey,
		EventName: req.EventName,
		Content:   req.Content,
		Debug:     req.Debug != 0,
	})
	if err != nil {
		return nil, err
	}
	return &reportv1.PostReportReply{
		EventId:     receipt.EventID,
		Accepted:    receipt.Rejected == "",
		ErrorReason: receipt.Rejected,
	}, nil
}

// ListReports implements reportv1.ReportServiceServer.
func (s *ReportService) ListReports(ctx context.Context, req *reportv1.ListReportsRequest) (*reportv1.ListReportsReply, error) {
	page, err := pageOf(req)
	if err != nil {
		return nil, err
	}
	events, next, err := s.usecase.ListEvents(ctx, page)
	if err != nil {
		return nil, err
	}
	reply := &reportv1.ListReportsReply{NextPageToken: tokenOf(next)}
	for _, e := range events {
		reply.Reports = append(reply.Reports, eventMessage(e))
	}
	return reply, nil
}

// ListStatuses implements reportv1.ReportServiceServer.
func (s *ReportService) ListStatuses(ctx context.Context, req *reportv1.ListStatusesRequest) (*reportv1.ListStatusesReply, error) {
	page, err := pageOf(req)
	if err != nil {
		return nil, err
	}
	statuses, next, err := s.usecase.ListStatuses(ctx, page)
	if err != nil {
		return nil, err
	}
	reply := &reportv1.ListStatusesReply{NextPageToken: tokenOf(next)}
	for _, status := range statuses {
		reply.Statuses = append(reply.Statuses, statusMessage(status))
	}
	return reply, nil
}
