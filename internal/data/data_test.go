package data

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

func TestRowsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	// A folder that does not exist yet, with names that have a meaning in URLs.
	source := filepath.Join(t.TempDir(), "a?b=c", "d#e %20", "test.db")
	ctx := context.Background()
	for range 2 { // the second time the tables exist
		data, cleanup, err := NewData(ctx, sqliteConfig(source), Observers{}, log.DefaultLogger)
		if err != nil {
			t.Fatal(err)
		}
		if err := NewReportRepo(data).SaveEvents(ctx, []biz.EventReport{{EventID: "e1"}}); err != nil {
			t.Error(err)
		}
		cleanup()
	}
	events, _, err := NewReportRepo(open(t, sqliteConfig(source))).ListEvents(ctx, biz.Page{Size: 10})
	if err != nil || len(events) != 1 {
		t.Errorf("got %v, %v", events, err)
	}
	if _, err := os.Stat(source); err != nil {
		t.Error(err)
	}
}

func TestPragmas(t *testing.T) {
	t.Parallel()
	data := open(t, newSQLite(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		var got string
		if err := data.db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", pragma, got, err, want)
		}
	}
}

func TestMemoryDatabase(t *testing.T) {
	t.Parallel()
	repo := NewReportRepo(open(t, sqliteConfig(conf.MemorySource)))
	if err := repo.SaveEvents(context.Background(), []biz.EventReport{{EventID: "e1"}}); err != nil {
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
	data, cleanup, err := NewData(context.Background(), nil, Observers{}, log.DefaultLogger)
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
		_, _, err := NewData(context.Background(), sqliteConfig(source), Observers{}, log.DefaultLogger)
		if err == nil || !strings.Contains(err.Error(), source) {
			t.Errorf("%s: got %v, want an error naming %s", name, err, source)
		}
	}
}

func TestDatabaseErrorsKeepTheirDetailsFromClients(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		data := open(t, c)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for name, err := range map[string]error{
			"save": NewReportRepo(data).SaveEvents(ctx, []biz.EventReport{{EventID: "e1"}}),
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
	})
}

// No error shows the password of a database that cannot be used, or of a source that
// cannot be parsed.
func TestPasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "topsecret"
	closed := strconv.Itoa(port.Of(t))
	for name, source := range map[string]string{
		"nobody listens":  "postgres://me:" + secret + "@127.0.0.1:" + closed + "/reports?connect_timeout=5",
		"keywords":        "host=127.0.0.1 port=" + closed + " user=me password=" + secret + " connect_timeout=5",
		"no port":         "postgres://me:" + secret + "@127.0.0.1:port/reports",
		"unescaped":       "postgres://me:a/" + secret + "@127.0.0.1/reports",
		"unknown option":  "postgres://me:" + secret + "@127.0.0.1/reports?sslmode=perhaps",
		"half a quote":    "host=127.0.0.1 password='" + secret,
		"no such account": withPassword(t, testdb.DSN(t), "nobody", secret),
	} {
		c := &conf.Data{Database: &conf.Data_Database{Driver: conf.DriverPostgres, Source: source}}
		_, _, err := NewData(context.Background(), c, Observers{}, log.DefaultLogger)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, text := range []string{err.Error(), c.Database.Name()} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: shows the password: %s", name, text)
			}
		}
	}
}

func withPassword(t *testing.T, source, user, password string) string {
	t.Helper()
	u, err := url.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// Savers that start at the same time on one database share its migrations.
func TestProcessesMigrateTogether(t *testing.T) {
	t.Parallel()
	c := newPostgres(t)
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			_, cleanup, err := NewData(context.Background(), c, Observers{}, log.DefaultLogger)
			if err != nil {
				t.Error(err)
				return
			}
			cleanup()
		})
	}
	starting.Wait()
}

// Rows of a transaction appear together or not at all, and other transactions are
// not affected.
func TestInTx(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		data := open(t, c)
		repo, ctx := NewReportRepo(data), t.Context()
		save := func(fail error) error {
			return data.InTx(ctx, func(ctx context.Context) error {
				if err := repo.SaveEvents(ctx, []biz.EventReport{eventReport(1)}); err != nil {
					return err
				}
				return data.InTx(ctx, func(ctx context.Context) error { // joins the transaction
					return errors.Join(repo.SaveStatuses(ctx, []biz.StatusReport{{EventID: "s1"}}), fail)
				})
			})
		}
		wantRows := func(want int) {
			t.Helper()
			events, _, err := repo.ListEvents(ctx, biz.Page{Size: 9})
			statuses, _, err2 := repo.ListStatuses(ctx, biz.Page{Size: 9})
			if err := errors.Join(err, err2); err != nil || len(events) != want || len(statuses) != want {
				t.Errorf("%d events, %d statuses, %v, want %d of each", len(events), len(statuses), err, want)
			}
		}
		if err := save(errNotReady); !errors.Is(err, errNotReady) {
			t.Errorf("got %v", err)
		}
		wantRows(0)
		if err := save(nil); err != nil {
			t.Error(err)
		}
		wantRows(1)
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		if err := data.InTx(canceled, func(context.Context) error { return nil }); kerrors.Reason(err) != "DATABASE_FAILED" {
			t.Errorf("begin: %v", err)
		}
	})
}
