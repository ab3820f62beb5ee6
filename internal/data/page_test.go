package data

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// A page ends at its bytes as well as at its rows, and the next page continues after
// it: every row is listed once, also one that is larger than a page.
func TestPagesEndAtBytes(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		const pageBytes = 1 << 20
		sizes := []int{64 << 10, 1, 2 << 20, pageBytes - 200, 300, 64 << 10}
		for range 40 {
			sizes = append(sizes, 64<<10)
		}
		data := open(t, c)
		reports, devices := NewReportRepo(data), NewDeviceRepo(data)
		at := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
		for i, size := range sizes {
			text := strings.Repeat("x", size)
			id := string(rune('A' + i))
			for _, err := range []error{
				reports.SaveEvents(t.Context(), []biz.EventReport{{EventID: id, Data: text, CreateTime: at}}),
				reports.SaveStatuses(t.Context(), []biz.StatusReport{{EventID: id, Data: text}}),
				devices.SaveTelemetry(t.Context(), biz.Telemetry{
					DeviceID: "d", EventID: id, MeasuredAt: at, Sensors: map[string]any{"x": text[:min(size, 256<<10)]},
				}),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, list := range map[string]func(biz.Page) (ids []string, sizes []int, next int64, err error){
			"events": func(p biz.Page) (ids []string, sizes []int, next int64, err error) {
				items, next, err := reports.ListEvents(t.Context(), p)
				for _, e := range items {
					ids, sizes = append(ids, e.EventID), append(sizes, len(e.Data))
				}
				return ids, sizes, next, err
			},
			"statuses": func(p biz.Page) (ids []string, sizes []int, next int64, err error) {
				items, next, err := reports.ListStatuses(t.Context(), p)
				for _, e := range items {
					ids, sizes = append(ids, e.EventID), append(sizes, len(e.Data))
				}
				return ids, sizes, next, err
			},
			"telemetry": func(p biz.Page) (ids []string, sizes []int, next int64, err error) {
				items, next, err := devices.ListTelemetry(t.Context(), "d", p)
				for _, e := range items {
					ids, sizes = append(ids, e.EventID), append(sizes, len(e.Sensors["x"].(string)))
				}
				return ids, sizes, next, err
			},
		} {
			var seen []string
			pages := 0
			for page := (biz.Page{Size: 1000, Bytes: pageBytes}); ; pages++ {
				ids, sizes, next, err := list(page)
				if err != nil || len(ids) == 0 {
					t.Fatalf("%s: page of %d, %v", name, len(ids), err)
				}
				total := 0
				for _, size := range sizes {
					total += size
				}
				if total > pageBytes && len(ids) > 1 {
					t.Errorf("%s: page of %d rows has %d bytes", name, len(ids), total)
				}
				seen = append(seen, ids...)
				if page.Before = next; next == 0 {
					break
				}
			}
			if len(seen) != len(sizes) || pages < 3 {
				t.Errorf("%s: %d of %d rows on %d pages", name, len(seen), len(sizes), pages+1)
			}
			for i, id := range seen {
				if want := string(rune('A' + len(sizes) - 1 - i)); id != want {
					t.Fatalf("%s: row %d is %q, want %q", name, i, id, want)
				}
			}
		}
	})
}

// A batch of large rows takes several statements in one transaction: all of it is
// stored, or nothing. 200 rows of 64 KiB used to be one statement of 77 MB as JSON.
func TestBatchesOfLargeRows(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewReportRepo(open(t, c))
		at := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
		var events []biz.EventReport
		for i := range 40 {
			events = append(events, biz.EventReport{EventID: string(rune('A' + i)), Data: strings.Repeat("\x01", 64<<10), CreateTime: at})
		}
		rows := make([][]any, len(events))
		for i, e := range events {
			rows[i] = []any{e.EventID, e.Data}
		}
		for all := rows; len(all) > 0; {
			text, n, err := encodeRows(all)
			if err != nil || len(text) > statementBytes+1 && n > 1 || n < 1 {
				t.Fatalf("%d rows in %d bytes, %v", n, len(text), err)
			}
			all = all[n:]
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := repo.SaveEvents(ctx, events); err == nil {
			t.Error("saved with an ended context")
		}
		for want := range 2 {
			got, _, err := repo.ListEvents(t.Context(), biz.Page{Size: 1000})
			if err != nil || len(got) != want*len(events) {
				t.Fatalf("%d rows, %v", len(got), err)
			}
			if err := repo.SaveEvents(t.Context(), events); err != nil {
				t.Fatal(err)
			}
		}
	})
}
