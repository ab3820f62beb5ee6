package pgtest

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childOf names the test that started this binary again, as the victim.
const childOf = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childOf) == "" {
		goleak.VerifyTestMain(Main(m))
	}
	os.Exit(m.Run())
}

func open(tb testing.TB, dsn string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func TestEveryCallGivesAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	for range 2 {
		if _, err := open(t, New(t)).ExecContext(t.Context(), "CREATE TABLE only_once (n INTEGER)"); err != nil {
			t.Error(err)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	fast := open(t, New(t))
	safe := open(t, NewServer(t, Options{Fsync: true, Settings: []string{"work_mem=5MB"}}).Database(t))
	for _, c := range []struct {
		db          *sql.DB
		name, value string
	}{{fast, "fsync", "off"}, {safe, "fsync", "on"}, {safe, "synchronous_commit", "on"}, {safe, "work_mem", "5MB"}} {
		var got string
		if err := c.db.QueryRowContext(t.Context(), "SHOW "+c.name).Scan(&got); err != nil || got != c.value {
			t.Errorf("%s is %q, want %q: %v", c.name, got, c.value, err)
		}
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	var p pool
	s, err := p.acquire()
	if err != nil {
		refuse(t, err)
	}
	p.hold()
	p.release()
	if err := s.admin("SELECT 1"); err != nil {
		t.Errorf("stopped before the last user: %v", err)
	}
	p.release()
	select {
	case <-s.exited:
	default:
		t.Error("still running after the last user")
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestServerEndsWithAKilledTestBinary(t *testing.T) {
	t.Parallel()
	if os.Getenv(childOf) != "" {
		fmt.Println("dsn", New(t))
		_, _ = io.Copy(io.Discard, os.Stdin) // until killed
		return
	}
	if _, err := findPrograms(); err != nil {
		refuse(t, err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), childOf+"="+t.Name())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dsn := ""
	for lines := bufio.NewScanner(stdout); dsn == "" && lines.Scan(); {
		dsn, _ = strings.CutPrefix(lines.Text(), "dsn ")
	}
	db := open(t, dsn)
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(dsn); err != nil {
		t.Error(err)
	} else {
		defer os.RemoveAll(u.Query().Get("host"))
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); db.PingContext(t.Context()) == nil; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still answers 20 s after its test binary was killed")
		}
	}
}

// verdict remembers how a test ended.
type verdict struct {
	testing.TB

	skipped, failed string
}

func (*verdict) Helper()                          {}
func (v *verdict) Skipf(format string, a ...any)  { v.skipped = fmt.Sprintf(format, a...) }
func (v *verdict) Fatalf(format string, a ...any) { v.failed += fmt.Sprintf(format, a...) }

func TestMissingProgramSkipsLocallyAndFailsInCI(t *testing.T) {
	for ci, failing := range map[string]bool{"": false, "false": false, "true": true} {
		t.Setenv("CI", ci)
		var v verdict
		refuse(&v, errMissing)
		if (v.failed != "") != failing || !strings.Contains(v.failed+v.skipped, "not installed") {
			t.Errorf("CI=%q: failed %q, skipped %q", ci, v.failed, v.skipped)
		}
	}
}
