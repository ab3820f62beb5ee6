package service

import (
	"context"
	"errors"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/proto"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

func request() *reportv1.PostReportRequest {
	return &reportv1.PostReportRequest{ReportType: "event", AppId: "app", AppKey: "key", EventName: "login", Content: "{}"}
}

func TestPostReport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := &fake{}
	s := NewReportService(f.reports())
	reply, err := s.PostReport(ctx, request())
	if err != nil || !reply.Accepted || reply.ErrorReason != "" || reply.EventId != f.events[0].EventID {
		t.Errorf("valid: %v, %v", reply, err)
	}
	rejected := request()
	rejected.ReportType = "weather"
	reply, err = s.PostReport(ctx, rejected)
	if err != nil || reply.Accepted || reply.ErrorReason == "" || reply.EventId != f.statuses[0].EventID {
		t.Errorf("rejected: %v, %v", reply, err)
	}
	if reply, err = s.PostReport(ctx, &reportv1.PostReportRequest{}); reply != nil || kerrors.Code(err) != 400 {
		t.Errorf("invalid: %v, %v", reply, err)
	}
	f.fail = errFake
	if reply, err = s.PostReport(ctx, request()); reply != nil || !errors.Is(err, errFake) {
		t.Errorf("not published: %v, %v", reply, err)
	}
}

// A saved message is listed unchanged.
func TestReportEventsRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := &fake{}
	s := NewReportService(f.reports())
	event := &reportv1.RealTimeWarehousingData{
		EventId: "e1", EventName: "login", ReportData: "{}", CreateTime: "2026-05-06T12:00:00.000000001Z",
	}
	if _, err := s.SaveEventReport(ctx, event); err != nil {
		t.Fatal(err)
	}
	status := &reportv1.AcceptStatusReportData{
		EventId: "s1", DataName: "n", ReportType: "t", ReportData: "d", ErrorReason: "r",
		ErrorHandling: "h", Status: 1, PartEvent: "p", PartDate: "2026-05-06",
	}
	if _, err := s.SaveUserReport(ctx, status); err != nil {
		t.Fatal(err)
	}
	reports, err := s.ListReports(ctx, &reportv1.ListReportsRequest{PageSize: 3, PageToken: tokenOf(5)})
	if err != nil || len(reports.Reports) != 1 || !proto.Equal(reports.Reports[0], event) || reports.NextPageToken != tokenOf(9) {
		t.Errorf("reports: %v, %v", reports, err)
	}
	if f.page != (biz.Page{Size: 3, Bytes: maxPageBytes, Before: 5}) {
		t.Errorf("page %+v", f.page)
	}
	statuses, err := s.ListStatuses(ctx, &reportv1.ListStatusesRequest{})
	if err != nil || len(statuses.Statuses) != 1 || !proto.Equal(statuses.Statuses[0], status) || statuses.NextPageToken != tokenOf(9) {
		t.Errorf("statuses: %v, %v", statuses, err)
	}
}

func TestReportEventsThatCannotBeSaved(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	created := time.Now().UTC().Format(time.RFC3339Nano)
	events := NewReportService((&fake{}).reports())
	for name, err := range map[string]error{
		"no time":         only(events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "e1"})),
		"no event id":     only(events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{CreateTime: created})),
		"status, no id":   only(events.SaveUserReport(ctx, &reportv1.AcceptStatusReportData{})),
		"year 10000":      only(events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "e1", CreateTime: "9999-12-31T23:59:59-12:00"})), // stores.md 12
		"time in the end": only(events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "e1", CreateTime: "x"})),
	} {
		if kerrors.Code(err) != 400 {
			t.Errorf("%s: got %v, want a 400, which is not retried", name, err)
		}
	}
	events = NewReportService((&fake{fail: errFake}).reports())
	_, err := events.SaveEventReport(ctx, &reportv1.RealTimeWarehousingData{EventId: "e1", CreateTime: created})
	if !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
}

// Invalid messages of a batch are refused individually; a database failure is the error
// of the whole batch.
func TestReportBatches(t *testing.T) {
	t.Parallel()
	created := time.Now().UTC().Format(time.RFC3339Nano)
	list := []*reportv1.RealTimeWarehousingData{
		{EventId: "e1", CreateTime: created}, {EventId: "e2", CreateTime: "x"}, {CreateTime: created}, {EventId: "e3", CreateTime: created},
	}
	f := &fake{}
	items, ok := errors.AsType[event.ItemErrors](NewReportService(f.reports()).SaveEventReports(t.Context(), list))
	if !ok || len(items) != 4 || items[0] != nil || items[3] != nil || kerrors.Code(items[1]) != 400 || kerrors.Code(items[2]) != 400 {
		t.Errorf("errors %v", items)
	}
	if len(f.events) != 2 || f.events[0].EventID != "e1" || f.events[1].EventID != "e3" {
		t.Errorf("saved %+v", f.events)
	}
	if err := NewReportService(f.reports()).SaveUserReports(t.Context(), []*reportv1.AcceptStatusReportData{{EventId: "s1"}, {EventId: "s2"}}); err != nil || len(f.statuses) != 2 {
		t.Errorf("statuses %+v, %v", f.statuses, err)
	}
	err := NewReportService((&fake{fail: errFake}).reports()).SaveEventReports(t.Context(), list)
	if _, ok := errors.AsType[event.ItemErrors](err); ok || !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
}

// only returns the error of a handler.
func only(_ any, err error) error { return err }

func TestListFailures(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := NewReportService((&fake{fail: errFake}).reports())
	if _, err := s.ListReports(ctx, &reportv1.ListReportsRequest{}); !errors.Is(err, errFake) {
		t.Errorf("reports: %v", err)
	}
	if _, err := s.ListStatuses(ctx, &reportv1.ListStatusesRequest{}); !errors.Is(err, errFake) {
		t.Errorf("statuses: %v", err)
	}
	if _, err := s.ListReports(ctx, &reportv1.ListReportsRequest{PageSize: -1}); kerrors.Code(err) != 400 {
		t.Errorf("reports page: %v", err)
	}
	if _, err := s.ListStatuses(ctx, &reportv1.ListStatusesRequest{PageToken: "?"}); kerrors.Code(err) != 400 {
		t.Errorf("statuses page: %v", err)
	}
}
