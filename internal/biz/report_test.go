package biz

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/uuid"
)

func valid() Report {
	return Report{Type: ReportEvent, AppID: "app", AppKey: "key", EventName: "login", Content: `{"a":1}`}
}

func with(change func(*Report)) Report {
	r := valid()
	change(&r)
	return r
}

func newReports(f *reportFake) *ReportUsecase {
	u := NewReportUsecase(f, f, log.DefaultLogger)
	u.now = func() time.Time { return time.Date(2026, 5, 6, 23, 30, 0, 5, time.FixedZone("", -3600)) }
	return u
}

func TestPostRefusesEveryViolatedField(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxName+1)
	for name, test := range map[string]struct {
		report Report
		fields []string
	}{
		"nothing at all":    {Report{}, []string{"app_id", "app_key", "event_name", "report_type"}},
		"no app":            {with(func(r *Report) { r.AppID = "" }), []string{"app_id"}},
		"long names":        {Report{Type: long, AppID: long, AppKey: long, EventName: long}, []string{"app_id", "app_key", "event_name", "report_type"}},
		"content too large": {with(func(r *Report) { r.Content = strings.Repeat(" ", maxContent+1) }), []string{"content"}},
		"not UTF-8":         {with(func(r *Report) { r.Content, r.EventName = "\xff", "\xff" }), []string{"content", "event_name"}},
		"NUL":               {with(func(r *Report) { r.Content, r.Type = "a\x00", "\x00" }), []string{"content", "report_type"}},
	} {
		fake := &reportFake{}
		_, err := newReports(fake).Post(context.Background(), test.report)
		e := kerrors.FromError(err)
		if e == nil || e.Code != 400 || e.Reason != "VALIDATION_FAILED" {
			t.Errorf("%s: got %v, want a 400", name, err)
			continue
		}
		if got := slices.Sorted(maps.Keys(e.Metadata)); !slices.Equal(got, test.fields) {
			t.Errorf("%s: fields %v, want %v", name, got, test.fields)
		}
		for _, field := range test.fields {
			if !strings.Contains(e.Message, field) {
				t.Errorf("%s: message %q does not name %s", name, e.Message, field)
			}
		}
		if len(fake.events)+len(fake.statuses) != 0 {
			t.Errorf("%s: published all the same", name)
		}
	}
}

func TestPostPublishesValidReports(t *testing.T) {
	t.Parallel()
	for name, report := range map[string]Report{
		"event":             valid(),
		"user":              with(func(r *Report) { r.Type = ReportUser }),
		"debug":             with(func(r *Report) { r.Debug = true }),
		"scalar content":    with(func(r *Report) { r.Content = "1" }),
		"largest allowed":   with(func(r *Report) { r.Content = `"` + strings.Repeat("x", maxContent-2) + `"` }),
		"longest name":      with(func(r *Report) { r.EventName = strings.Repeat("x", maxName) }),
		"spaces around":     with(func(r *Report) { r.Content = " {} \n" }),
		"duplicate members": with(func(r *Report) { r.Content = `{"a":1,"a":2}` }),
	} {
		fake := &reportFake{}
		receipt, err := newReports(fake).Post(context.Background(), report)
		if err != nil || receipt.Rejected != "" {
			t.Errorf("%s: %+v, %v", name, receipt, err)
			continue
		}
		if id, err := uuid.Parse(receipt.EventID); err != nil || id.Version() != 7 {
			t.Errorf("%s: event id %q is no UUIDv7", name, receipt.EventID)
		}
		want := EventReport{
			EventID: receipt.EventID, EventName: report.EventName, Data: report.Content,
			CreateTime: time.Date(2026, 5, 7, 0, 30, 0, 5, time.UTC),
		}
		if len(fake.statuses) != 0 || !reflect.DeepEqual(fake.events, []EventReport{want}) {
			t.Errorf("%s: published %+v and %+v, want %+v", name, fake.events, fake.statuses, want)
		}
	}
}

func TestPostRecordsRejectedReports(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		report Report
		reason string
	}{
		"unknown type":          {with(func(r *Report) { r.Type = "weather" }), reasonUnknownType},
		"type in capitals":      {with(func(r *Report) { r.Type = "EVENT" }), reasonUnknownType},
		"content is no JSON":    {with(func(r *Report) { r.Content = "a=1" }), reasonNotJSON},
		"content is empty":      {with(func(r *Report) { r.Content = "" }), reasonNotJSON},
		"content is cut off":    {with(func(r *Report) { r.Content = `{"a":` }), reasonNotJSON},
		"content goes on":       {with(func(r *Report) { r.Content = `{} {}` }), reasonNotJSON},
		"both: the type counts": {with(func(r *Report) { r.Type, r.Content = "weather", "x" }), reasonUnknownType},
	} {
		fake := &reportFake{}
		receipt, err := newReports(fake).Post(context.Background(), test.report)
		if err != nil || receipt.Rejected != test.reason {
			t.Errorf("%s: %+v, %v", name, receipt, err)
			continue
		}
		want := StatusReport{
			EventID: receipt.EventID, DataName: "login", ReportType: test.report.Type,
			Data: test.report.Content, ErrorReason: test.reason, ErrorHandling: handlingRecorded,
			Status: StatusRejected, PartEvent: "login", PartDate: "2026-05-07",
		}
		if len(fake.events) != 0 || !reflect.DeepEqual(fake.statuses, []StatusReport{want}) {
			t.Errorf("%s: published %+v and %+v, want %+v", name, fake.events, fake.statuses, want)
		}
	}
}

func TestPostNeverSucceedsUnpublished(t *testing.T) {
	t.Parallel()
	for _, report := range []Report{valid(), with(func(r *Report) { r.Type = "weather" })} {
		receipt, err := newReports(&reportFake{fail: errFake}).Post(context.Background(), report)
		if !errors.Is(err, errFake) || receipt != (Receipt{}) {
			t.Errorf("got %+v, %v", receipt, err)
		}
	}
	u := newReports(&reportFake{})
	u.newID = func() (uuid.UUID, error) { return uuid.UUID{}, errFake }
	if _, err := u.Post(context.Background(), valid()); !errors.Is(err, errFake) {
		t.Errorf("got %v", err)
	}
}

func TestDebugLogsTheDecisionWithoutTheKey(t *testing.T) {
	t.Parallel()
	for _, debug := range []bool{false, true} {
		var out strings.Builder
		u := NewReportUsecase(&reportFake{}, &reportFake{}, log.NewStdLogger(&out))
		report := with(func(r *Report) { r.Debug, r.AppKey, r.Content = debug, "secret", `"secret"` })
		if _, err := u.Post(context.Background(), report); err != nil {
			t.Fatal(err)
		}
		if logged := strings.Contains(out.String(), "report decided"); logged != debug {
			t.Errorf("debug %v: logged %q", debug, out.String())
		}
		if strings.Contains(out.String(), "secret") {
			t.Errorf("debug %v: logged a secret: %q", debug, out.String())
		}
	}
}

// only returns the error of a call that saves one report.
func only(refused []error, err error) error {
	if refused != nil {
		return refused[0]
	}
	return err
}

// An invalid report is refused without affecting the others.
func TestSaveRefusesTheInvalidOnly(t *testing.T) {
	t.Parallel()
	fake := &reportFake{}
	u := newReports(fake)
	refused, err := u.SaveEvents(t.Context(), []EventReport{{EventID: "e1"}, {}, {EventID: "e2"}, {EventID: "\x00"}})
	if err != nil || len(refused) != 4 || refused[0] != nil || refused[2] != nil || kerrors.Code(refused[1]) != 400 || kerrors.Code(refused[3]) != 400 {
		t.Errorf("refused %v, %v", refused, err)
	}
	if want := []EventReport{{EventID: "e1"}, {EventID: "e2"}}; !reflect.DeepEqual(fake.events, want) || fake.saves != 1 {
		t.Errorf("saved %+v in %d calls", fake.events, fake.saves)
	}
	if refused, err := u.SaveStatuses(t.Context(), []StatusReport{{}}); err != nil || kerrors.Code(refused[0]) != 400 || fake.saves != 1 {
		t.Errorf("refused %v, %v, %d calls", refused, err, fake.saves)
	}
}

func TestSaveNeedsAnEventID(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for id, want := range map[string]int{"": 400, strings.Repeat("x", maxName+1): 400, "e1": 200} {
		fake := &reportFake{}
		u := newReports(fake)
		if code := kerrors.Code(only(u.SaveEvents(ctx, []EventReport{{EventID: id}}))); code != want {
			t.Errorf("event %q: code %d, want %d", id, code, want)
		}
		if code := kerrors.Code(only(u.SaveStatuses(ctx, []StatusReport{{EventID: id}}))); code != want {
			t.Errorf("status %q: code %d, want %d", id, code, want)
		}
		if saved := len(fake.events) + len(fake.statuses); (saved == 2) != (want == 200) {
			t.Errorf("%q: saved %d", id, saved)
		}
	}
	u := newReports(&reportFake{fail: errFake})
	for name, err := range map[string]error{ // none of the databases can store it
		"event_name":  only(u.SaveEvents(ctx, []EventReport{{EventID: "e1", EventName: "\x00"}})),
		"report_data": only(u.SaveStatuses(ctx, []StatusReport{{EventID: "e1", Data: "a\x00"}})),
		"event_id":    only(u.SaveStatuses(ctx, []StatusReport{{EventID: "\x00"}})),
	} {
		if e := kerrors.FromError(err); e == nil || e.Code != 400 || e.Metadata[name] == "" {
			t.Errorf("NUL in %s: %v", name, err)
		}
	}
	if err := only(u.SaveEvents(ctx, []EventReport{{EventID: "e1"}})); !errors.Is(err, errFake) {
		t.Errorf("got %v", err)
	}
}

func TestListsPassThrough(t *testing.T) {
	t.Parallel()
	u := newReports(&reportFake{events: []EventReport{{EventID: "e"}}, statuses: []StatusReport{{EventID: "s"}}})
	events, next, err := u.ListEvents(context.Background(), Page{Before: 7})
	if err != nil || next != 7 || len(events) != 1 {
		t.Errorf("events %v, %d, %v", events, next, err)
	}
	statuses, next, err := u.ListStatuses(context.Background(), Page{Before: 8})
	if err != nil || next != 8 || len(statuses) != 1 {
		t.Errorf("statuses %v, %d, %v", statuses, next, err)
	}
}
