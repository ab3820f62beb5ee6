package data

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func TestRowsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	// A folder that is not there yet, in names that mean something in a URL.
	source := filepath.Join(t.TempDir(), "a?b=c", "d#e %20", "test.db")
	ctx := context.Background()
	for range 2 { // the second time the tables are there
		data, cleanup, err := NewData(ctx, sqliteConfig(source), log.DefaultLogger)
		if err != nil {
			t.Fatal(err)
		}
		if err := NewReportRepo(data).SaveEvent(ctx, biz.EventReport{EventID: "e1"}); err != nil {
			t.Error(err)
		}
		cleanup()
	}
	events, _, err := NewReportRepo(open(t, source)).ListEvents(ctx, biz.Page{Size: 10})
	if err != nil || len(events) != 1 {
		t.Errorf("got %v, %v", events, err)
	}
	if _, err := os.Stat(source); err != nil {
		t.Error(err)
	}
}

func TestPragmas(t *testing.T) {
	t.Parallel()
	data := open(t, newFile(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		var got string
		if err := data.db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}

func TestMemoryDatabase(t *testing.T) {
	t.Parallel()
	repo := NewReportRepo(open(t, conf.MemorySource))
	if err := repo.SaveEvent(context.Background(), biz.EventReport{EventID: "e1"}); err != nil {
		t.Fatal(err)
	}
	events, _, err := repo.ListEvents(context.Background(), biz.Page{Size: 1})
	if err != nil || len(events) != 1 {
		t.Errorf("got %v, %v", events, err)
	}
	if _, err := os.Stat(conf.MemorySource); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file appeared: %v", err)
	}
}

func TestWithoutDatabase(t *testing.T) {
	t.Parallel()
	data, cleanup, err := NewData(context.Background(), nil, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	_, _, err = NewReportRepo(data).ListEvents(context.Background(), biz.Page{Size: 1})
	if kerrors.Code(err) != 501 || kerrors.Reason(err) != "NO_DATABASE" {
		t.Errorf("list: %v", err)
	}
	if err := NewDeviceRepo(data).SaveAlert(context.Background(), biz.Alert{}); kerrors.Code(err) != 501 {
		t.Errorf("save: %v", err)
	}
}

func TestUnusableDatabase(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "text")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{
		"a folder":       folder,
		"below a file":   filepath.Join(file, "test.db"),
		"not a database": file,
	} {
		_, _, err := NewData(context.Background(), sqliteConfig(source), log.DefaultLogger)
		if err == nil || !strings.Contains(err.Error(), source) {
			t.Errorf("%s: got %v, want an error naming %s", name, err, source)
		}
	}
}

func TestDatabaseErrorsKeepTheirDetailsFromClients(t *testing.T) {
	t.Parallel()
	data := open(t, newFile(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, err := range map[string]error{
		"save": NewReportRepo(data).SaveEvent(ctx, biz.EventReport{EventID: "e1"}),
		"list": func() error {
			_, _, err := NewReportRepo(data).ListEvents(ctx, biz.Page{Size: 1})
			return err
		}(),
	} {
		e := kerrors.FromError(err)
		if e == nil || e.Code != 500 || e.Reason != "DATABASE_FAILED" || e.Message != "the database failed" {
			t.Errorf("%s: got %v", name, err)
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
}
