package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the database/sql driver "pgx"
)

// Options are the settings of a server of a test's own.
type Options struct {
	// Fsync makes a commit wait for the disk, as in production. Default: off.
	Fsync bool
	// Settings are further settings of the server, such as "wal_level=logical".
	Settings []string
}

// Server is a running PostgreSQL. Its methods are safe for concurrent use.
type Server struct {
	dir     string
	process *os.Process
	exited  chan struct{} // closed when the process ended
	last    atomic.Uint64 // number of the newest database
}

// startWithin bounds the start: a server answers within a second, but the
// machine may be busy.
const startWithin = time.Minute

// NewServer starts a server for one test, stopped at its end. [New] is faster.
func NewServer(tb testing.TB, o Options) *Server {
	tb.Helper()
	s, err := start(o)
	if err != nil {
		refuse(tb, err)
	}
	tb.Cleanup(s.stop)
	return s
}

// Database makes a fresh, empty database and returns its address. It is dropped
// at the end of the test, with the connections that are still open.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test%d", s.last.Add(1))
	if err := s.admin("CREATE DATABASE " + name); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.admin("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return s.dsn(name)
}

func (s *Server) dsn(database string) string {
	query := url.Values{"host": {s.dir}, "user": {superuser}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + query.Encode()
}

// admin runs a statement outside of the databases of tests.
func (s *Server) admin(statement string) (err error) {
	db, err := sql.Open("pgx", s.dsn("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	_, err = db.ExecContext(ctx, statement)
	return err
}

const superuser = "postgres"

// start makes a data folder and starts a server in it.
func start(o Options) (s *Server, err error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	// The path of a socket has little room, so this is no folder of a test.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	s = &Server{dir: dir, exited: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.log())
			s.stop()
		}
	}()
	if err := giveAway(dir); err != nil {
		return nil, err
	}
	if err := s.initialize(programs.initdb); err != nil {
		return nil, err
	}
	if err := s.launch(programs.postgres, o); err != nil {
		return nil, err
	}
	return s, s.ready()
}

func (s *Server) initialize(initdb string) error {
	cmd := s.command(initdb, "--no-sync", "--auth=trust", "--username="+superuser,
		"--encoding=UTF8", "--no-locale", "--pgdata="+s.data())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (s *Server) launch(postgres string, o Options) error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	settings := []string{"listen_addresses=", "unix_socket_directories=" + s.dir, "max_connections=200", "shared_buffers=64MB"}
	if !o.Fsync {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	args := []string{"-D", s.data()}
	for _, setting := range slices.Concat(settings, o.Settings) {
		args = append(args, "-c", setting)
	}
	cmd := s.command(postgres, args...)
	cmd.Stdout, cmd.Stderr = log, log

	started := make(chan error, 1)
	go func() {
		// The child is told to die with its parent, and to the system the
		// parent is a thread: keep this one for as long as the child runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.process = cmd.Process
	return nil
}

// command is a program that runs in the folder of the server, with nothing of
// the environment that could lead it elsewhere.
func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...) //nolint:noctx // it ends by signal
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = childAttributes()
	return cmd
}

// ready waits until the server answers.
func (s *Server) ready() error {
	timeout := time.NewTimer(startWithin)
	defer timeout.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		err := s.admin("SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-s.exited:
			return errors.New("postgres ended by itself")
		case <-timeout.C:
			return fmt.Errorf("postgres does not answer: %w", err)
		}
	}
}

// stop ends the server at once and removes its folder.
func (s *Server) stop() {
	if s.process != nil {
		_ = s.process.Signal(sigImmediate)
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			_ = s.process.Kill()
			<-s.exited
		}
	}
	_ = os.RemoveAll(s.dir)
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logPath() string { return filepath.Join(s.dir, "log") }

// log is the end of what the server wrote.
func (s *Server) log() string {
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(text[max(0, len(text)-4096):]), "?")
}
