package data

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// Processes that start at the same time on a file that does not exist yet share its
// migrations. stores.md 14.
func TestProcessesMigrateANewFileTogether(t *testing.T) {
	t.Parallel()
	const starts = 24
	c := newSQLite(t)
	var (
		starting sync.WaitGroup
		begin    = make(chan struct{})
		errs     = make(chan error, starts)
	)
	for range starts {
		starting.Go(func() {
			<-begin
			_, cleanup, err := NewData(context.Background(), c, Observers{}, log.DefaultLogger)
			if err != nil {
				errs <- err
				return
			}
			cleanup()
		})
	}
	close(begin)
	starting.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// Other users cannot read the database, or the files that SQLite puts beside it, even
// in a folder that they can read. stores.md 17.
func TestSQLiteFilesArePrivate(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "shared")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(folder, "reports.db")
	repo := NewReportRepo(open(t, sqliteConfig(source)))
	if err := repo.SaveEvents(t.Context(), []biz.EventReport{eventReport(1)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{source, source + "-wal", source + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", filepath.Base(name), mode)
		}
	}
}

// book records log lines.
type book struct {
	mu    sync.Mutex
	lines []string
}

func (b *book) Log(level log.Level, keyvals ...any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprint(level, keyvals))
	return nil
}

func (b *book) with(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

// A row that cannot be read hides no other row, on any page of any list, and is
// logged. stores.md 12.
func TestUnreadableRowIsLeftOut(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		var lines book
		data, cleanup, err := NewData(t.Context(), c, Observers{}, &lines)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cleanup)
		reports, devices, ctx := NewReportRepo(data), NewDeviceRepo(data), t.Context()
		const rows, bad = 7, 3
		for i := range rows {
			at := time.Date(2026, 5, 6, 12, 0, i, 0, time.UTC)
			if i == bad {
				at = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -12*3600)) // the year 10000 in UTC
			}
			e := eventReport(i)
			e.CreateTime = at
			id := fmt.Sprint(i)
			for _, err := range []error{
				reports.SaveEvents(ctx, []biz.EventReport{e}),
				devices.SaveTelemetry(ctx, biz.Telemetry{DeviceID: "d", EventID: id, MeasuredAt: at}),
				devices.SaveAlert(ctx, biz.Alert{DeviceID: "d", EventID: id, MeasuredAt: at}),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, list := range map[string]func(biz.Page) (int, int64, error){
			"events": func(p biz.Page) (int, int64, error) {
				l, next, err := reports.ListEvents(ctx, p)
				return len(l), next, err
			},
			"telemetry": func(p biz.Page) (int, int64, error) {
				l, next, err := devices.ListTelemetry(ctx, "d", p)
				return len(l), next, err
			},
			"alerts": func(p biz.Page) (int, int64, error) {
				l, next, err := devices.ListAlerts(ctx, p)
				return len(l), next, err
			},
		} {
			for _, size := range []int{1, 2, 3, 4, rows, 100} {
				got, pages := 0, 0
				for page := (biz.Page{Size: size}); ; pages++ {
					n, next, err := list(page)
					if err != nil || n > size || pages > rows {
						t.Fatalf("%s by %d: %d rows, next %d, %v", name, size, n, next, err)
					}
					if got += n; next == 0 {
						break
					}
					page.Before = next
				}
				if got != rows-1 {
					t.Errorf("%s by %d: %d rows, want %d", name, size, got, rows-1)
				}
			}
		}
		if n := lines.with("cannot be read"); n != 1 {
			t.Errorf("told %d times, want once a minute: %v", n, lines.lines)
		}
	})
}

// A list does not wait for a writer. stores.md 18.
func TestListsDoNotWaitForWriters(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		data := open(t, c)
		repo := NewReportRepo(data)
		if err := repo.SaveEvents(t.Context(), []biz.EventReport{eventReport(1)}); err != nil {
			t.Fatal(err)
		}
		err := data.InTx(t.Context(), func(tx context.Context) error {
			if err := repo.SaveEvents(tx, []biz.EventReport{eventReport(2)}); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			events, _, err := repo.ListEvents(ctx, biz.Page{Size: 10})
			if err != nil || len(events) != 1 {
				t.Errorf("beside a transaction: %d events, %v", len(events), err)
			}
			if events, _, err = repo.ListEvents(tx, biz.Page{Size: 10}); err != nil || len(events) != 2 {
				t.Errorf("within it: %d events, %v", len(events), err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// A symbolic link in the place of the database, or of the files that SQLite puts
// beside it, is not followed, and a created folder is private.
func TestSQLiteFollowsNoLink(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		folder := filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		source, target := filepath.Join(folder, "reports.db"), filepath.Join(t.TempDir(), "target")
		if err := os.Symlink(target, source+suffix); err != nil {
			t.Skip(err)
		}
		_, cleanup, err := NewData(t.Context(), sqliteConfig(source), Observers{}, log.DefaultLogger)
		if err == nil {
			cleanup()
			t.Errorf("a link at %q was followed", suffix)
		}
		if _, err := os.Lstat(target); err == nil {
			t.Errorf("a link at %q: a file was made where it leads to", suffix)
		}
	}
	folder := filepath.Join(t.TempDir(), "new")
	open(t, sqliteConfig(filepath.Join(folder, "reports.db")))
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info, err)
	}
}
