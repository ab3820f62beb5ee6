package data

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// An unreadable value in any column hides only its own row. stores.md 12.
func TestEachUnreadableColumnHidesOneRow(t *testing.T) {
	times := []string{"'x'", "''", "'0000-05-06T12:00:00Z'", "'9999-12-31T23:59:59-12:00'", "'10000-01-01T00:00:00Z'"}
	// Values that only SQLite accepts in such a column.
	const noNumber, noText = "'x'", "CAST(x'ff41' AS TEXT)"
	deep := `'{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}'`
	type column struct {
		table, name string
		values      []string
		sqlite      bool
	}
	columns := []column{
		{"realtime_warehousing", "create_time", times, false},
		{"realtime_warehousing", "event_name", []string{noText}, true},
		{"realtime_warehousing", "report_data", []string{noText}, true},
		{"acceptance_status", "status", []string{noNumber}, true},
		{"acceptance_status", "error_reason", []string{noText}, true},
		{"telemetry", "measured_at", times, false},
		{"telemetry", "sensors", []string{"'{'", "'[]'", `'{"a":1e999}'`, deep}, false},
		{"telemetry", "temperature", []string{noNumber}, true},
		{"alert", "measured_at", times, false},
		{"alert", "value", []string{noNumber}, true},
		{"alert", "kind", []string{noText}, true},
	}
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		data := open(t, c)
		reports, devices, ctx := NewReportRepo(data), NewDeviceRepo(data), t.Context()
		at := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
		for i := range 3 {
			id := fmt.Sprint(i)
			for _, err := range []error{
				reports.SaveEvents(ctx, []biz.EventReport{{EventID: id, CreateTime: at}}),
				reports.SaveStatuses(ctx, []biz.StatusReport{{EventID: id, Status: 1}}),
				devices.SaveTelemetry(ctx, biz.Telemetry{DeviceID: "d", EventID: id, MeasuredAt: at}),
				devices.SaveAlert(ctx, biz.Alert{DeviceID: "d", EventID: id, MeasuredAt: at}),
				devices.SaveHeartbeat(ctx, "d", at),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		list := map[string]func(biz.Page) (int, int64, error){
			"realtime_warehousing": func(p biz.Page) (int, int64, error) {
				l, next, err := reports.ListEvents(ctx, p)
				return len(l), next, err
			},
			"acceptance_status": func(p biz.Page) (int, int64, error) {
				l, next, err := reports.ListStatuses(ctx, p)
				return len(l), next, err
			},
			"telemetry": func(p biz.Page) (int, int64, error) {
				l, next, err := devices.ListTelemetry(ctx, "d", p)
				return len(l), next, err
			},
			"alert": func(p biz.Page) (int, int64, error) {
				l, next, err := devices.ListAlerts(ctx, p)
				return len(l), next, err
			},
		}
		for _, col := range columns {
			if col.sqlite && data.dialect.name != sqltx.SQLite {
				continue
			}
			for _, value := range col.values {
				var before any
				row := data.db.QueryRowContext(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE event_id = '1'", col.name, col.table))
				if err := row.Scan(&before); err != nil {
					t.Fatal(err)
				}
				set := func(value string, args ...any) {
					t.Helper()
					if _, err := data.db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET %s = %s WHERE event_id = '1'", col.table, col.name, value), args...); err != nil {
						t.Fatalf("%s.%s = %s: %v", col.table, col.name, value, err)
					}
				}
				set(value)
				for _, size := range []int{1, 2, 10} {
					got, pages := 0, 0
					for page := (biz.Page{Size: size}); ; pages++ {
						n, next, err := list[col.table](page)
						if err != nil || pages > 3 {
							t.Fatalf("%s.%s = %s: %d rows, next %d, %v", col.table, col.name, value, n, next, err)
						}
						if got += n; next == 0 {
							break
						}
						page.Before = next
					}
					if got != 2 {
						t.Errorf("%s.%s = %s: %d rows in pages of %d, want the 2 others", col.table, col.name, value, got, size)
					}
				}
				set("$1", before)
			}
		}
		if _, err := data.db.ExecContext(ctx, "UPDATE device_heartbeat SET seen_at = 'x'"); err != nil {
			t.Fatal(err)
		}
		if at, err := devices.LastHeartbeat(ctx, "d"); err != nil || !at.IsZero() {
			t.Errorf("unreadable heartbeat: %v, %v", at, err)
		}
	})
}
