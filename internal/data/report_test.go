package data

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func eventReport(i int) biz.EventReport {
	return biz.EventReport{
		EventID: fmt.Sprintf("e%d", i), EventName: "login", Data: `{"a":"ü"}`,
		CreateTime: time.Date(2026, 5, 6, 12, 0, i, 123456789, time.UTC),
	}
}

func TestReportsAreStoredOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewReportRepo(open(t, c))
		ctx := context.Background()
		first := biz.StatusReport{
			EventID: "s1", DataName: "login", ReportType: "weather", Data: "x", ErrorReason: "unknown",
			ErrorHandling: "recorded", Status: 1, PartEvent: "login", PartDate: "2026-05-06",
		}
		changed := first
		changed.Data = "changed"
		for _, s := range []biz.StatusReport{first, first, changed} {
			if err := repo.SaveStatuses(ctx, []biz.StatusReport{s}); err != nil {
				t.Fatal(err)
			}
		}
		statuses, next, err := repo.ListStatuses(ctx, biz.Page{Size: 10})
		if err != nil || next != 0 || !reflect.DeepEqual(statuses, []biz.StatusReport{first}) {
			t.Errorf("statuses %+v, %d, %v", statuses, next, err)
		}
		var redelivered sync.WaitGroup
		for i := range 200 {
			redelivered.Go(func() {
				if err := repo.SaveEvents(ctx, []biz.EventReport{eventReport(i % 50)}); err != nil {
					t.Error(err)
				}
			})
		}
		redelivered.Wait()
		events, next, err := repo.ListEvents(ctx, biz.Page{Size: 1000})
		if err != nil || next != 0 || len(events) != 50 {
			t.Errorf("%d events, %d, %v", len(events), next, err)
		}
	})
}

// Reports of one call are stored together, in order, whatever their contents, each
// once.
func TestReportsAreStoredTogether(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewReportRepo(open(t, c))
		var list, want []biz.EventReport
		for i := range 250 {
			e := eventReport(i)
			if i == 7 {
				e.Data = "\"\\\u2028<&>\x01\U0001F600'\n[]{}"
			}
			list = append(list, e, e)
			want = append(want, e)
		}
		slices.Reverse(want)
		for range 2 {
			if err := repo.SaveEvents(t.Context(), list); err != nil {
				t.Fatal(err)
			}
		}
		got, _, err := repo.ListEvents(t.Context(), biz.Page{Size: 1000})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d events, %v", len(got), err)
		}
	})
}

func TestPagesAreNewestFirst(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewReportRepo(open(t, c))
		ctx := context.Background()
		const rows = 7
		for i := range rows {
			if err := repo.SaveEvents(ctx, []biz.EventReport{eventReport(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, size := range []int{1, 2, 3, 6, 7, 8} {
			var got []biz.EventReport
			page, pages := biz.Page{Size: size}, 0
			for {
				events, next, err := repo.ListEvents(ctx, page)
				if err != nil || len(events) > size || len(events) == 0 {
					t.Fatalf("size %d: %v, %v", size, events, err)
				}
				got = append(got, events...)
				pages++
				if next == 0 {
					break
				}
				if page.Before == 0 && size == 3 { // reports that arrive meanwhile do not shift the pages
					if err := repo.SaveEvents(ctx, []biz.EventReport{eventReport(0)}); err != nil {
						t.Fatal(err)
					}
				}
				page.Before = next
			}
			if want := (rows + size - 1) / size; pages != want {
				t.Errorf("size %d: %d pages, want %d", size, pages, want)
			}
			for i, e := range got {
				if want := eventReport(rows - 1 - i); !reflect.DeepEqual(e, want) {
					t.Errorf("size %d: entry %d is %+v, want %+v", size, i, e, want)
				}
			}
		}
	})
}

func TestEmptyList(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		events, next, err := NewReportRepo(open(t, c)).ListEvents(context.Background(), biz.Page{Size: 5})
		if len(events) != 0 || next != 0 || err != nil {
			t.Errorf("got %v, %d, %v", events, next, err)
		}
	})
}

func BenchmarkSaveEvent(b *testing.B) {
	for driver, create := range databases {
		b.Run(driver, func(b *testing.B) {
			data, cleanup, err := NewData(context.Background(), create(b), Observers{}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer cleanup()
			repo := NewReportRepo(data)
			for i := 0; b.Loop(); i++ {
				if err := repo.SaveEvents(context.Background(), []biz.EventReport{eventReport(i)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
