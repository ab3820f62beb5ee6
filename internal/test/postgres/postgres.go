// Package postgres starts a private PostgreSQL server for the tests of a package.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// Driver is the name of the database/sql driver that the URLs are for.
const Driver = "pgx"

const (
	role = "kratos"
	// patience bounds the start and the stop of a server.
	patience = 60 * time.Second
)

// Server is one PostgreSQL server for all tests of a test binary. Create it in a variable, run
// the tests through it, and request a database in each test: the first request starts the
// server.
//
//	var testdb = postgres.NewServer()
//
//	func TestMain(m *testing.M) { os.Exit(testdb.Main(m).Run()) }
type Server struct {
	settings []string

	once    sync.Once
	err     error
	dir     string
	bin     string // folder of the programs
	data    string // folder in dir
	port    *port.Reserved
	process *process
	bases   atomic.Int64
}

// NewServer does not start the server yet. The server does not sync to disk, because its data
// is deleted with it; settings such as "fsync=on" override this and others.
func NewServer(settings ...string) *Server { return &Server{settings: settings} }

// Durable returns the settings with which a commit waits for the disk, as in production, for
// benchmarks.
func Durable() []string { return []string{"fsync=on", "synchronous_commit=on", "full_page_writes=on"} }

// Runner is what TestMain uses of *testing.M.
type Runner interface{ Run() int }

// Main wraps the tests of a binary: the server ends after them.
func (s *Server) Main(m Runner) Runner { return &runner{m, s} }

type runner struct {
	Runner
	server *Server
}

// Run implements Runner.
func (r *runner) Run() int {
	code := r.Runner.Run()
	if err := r.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		code = max(code, 1)
	}
	return code
}

// DSN returns the URL of a new, empty database, which is dropped at the end of
// the test. Without PostgreSQL on this machine the test is skipped, or fails
// when the environment variable CI is "true".
func (s *Server) DSN(tb testing.TB) string {
	tb.Helper()
	bin := find()
	if bin == "" {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("postgres: CI=true and %v", ErrMissing)
		}
		tb.Skip(ErrMissing)
	}
	url, drop, err := s.create(bin)
	if err != nil {
		tb.Fatalf("postgres: %v", err)
	}
	tb.Cleanup(func() {
		if err := drop(); err != nil {
			tb.Errorf("postgres: %v", err)
		}
	})
	return url
}

// ErrMissing is the error of Create where PostgreSQL is not installed.
var ErrMissing = errors.New("PostgreSQL is not installed (Debian: postgresql)")

// Create returns the URL of a new, empty database, for programs that are not tests. They must
// call Close at the end.
func (s *Server) Create() (url string, err error) {
	bin := find()
	if bin == "" {
		return "", ErrMissing
	}
	url, _, err = s.create(bin)
	return url, err
}

func (s *Server) create(bin string) (url string, drop func() error, err error) {
	s.once.Do(func() { s.err = s.start(bin) })
	if s.err != nil {
		return "", nil, s.err
	}
	name := fmt.Sprintf("test_%d", s.bases.Add(1))
	drop = func() error { return s.admin("DROP DATABASE " + name + " WITH (FORCE)") }
	return s.url(name), drop, s.admin("CREATE DATABASE " + name)
}

// Open returns a pool of connections to a new, empty database.
func (s *Server) Open(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open(Driver, s.DSN(tb))
	if err != nil {
		tb.Fatalf("postgres: %v", err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// Close stops the server, if it was started, and deletes its data.
func (s *Server) Close() error {
	s.once.Do(func() {})
	var errs []error
	if s.process != nil {
		errs = append(errs, s.process.stop())
	}
	if s.port != nil {
		s.port.Release()
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

func (s *Server) url(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User(role), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port.Number())),
		Path: database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s *Server) admin(statement string) error {
	db, err := sql.Open(Driver, s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// start creates the server's data directory and waits until the server answers.
func (s *Server) start(bin string) (err error) {
	if s.dir, err = os.MkdirTemp("", "postgres-"); err != nil {
		return err
	}
	account, err := unprivileged(s.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	init := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", role, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync") //nolint:gosec,noctx // found by find; it ends soon
	init.SysProcAttr, init.Dir = account, s.dir
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.port, err = port.Reserve(); err != nil {
		return err
	}
	s.bin, s.data = bin, data
	return s.launch(account)
}

func (s *Server) ready() error {
	deadline := time.Now().Add(patience)
	for {
		err := s.admin("SELECT 1")
		switch {
		case err == nil:
			return nil
		case s.process.ended():
			return fmt.Errorf("the server ended:\n%s", s.process.output.Bytes())
		case time.Now().After(deadline):
			return fmt.Errorf("no answer within %v: %w", patience, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// find returns the folder of PostgreSQL's programs, "" if it is not installed.
func find() string {
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(slices.Max(found))
}
