package postgres

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// The ways to stop a server.
const (
	// Fast ends its transactions and connections, and writes everything to disk.
	Fast = syscall.SIGINT
	// Immediate ends its processes at once, as a crash does: the next start recovers.
	Immediate = syscall.SIGQUIT
)

// Stop stops the server, which must be running, and waits for its end: connections are refused
// until [Server.Restart]. What is committed is kept if the server has the setting
// "synchronous_commit=on".
func (s *Server) Stop(tb testing.TB, how os.Signal) {
	tb.Helper()
	if err := s.process.end(how); err != nil {
		tb.Fatalf("postgres: %v", err)
	}
}

// Restart starts a stopped server again, at the same address, and waits until it answers.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	account, err := unprivileged(s.dir)
	if err == nil {
		err = s.launch(account)
	}
	if err != nil {
		tb.Fatalf("postgres: %v", err)
	}
}

// Freeze has the server hang until the returned function is called, at the latest at the end of
// the test: the kernel still accepts connections, but nothing answers. It needs Linux, elsewhere
// the test is skipped.
func (s *Server) Freeze(tb testing.TB) (thaw func()) {
	tb.Helper()
	thaw, err := freeze(s.process.command.Process.Pid)
	if errors.Is(err, errors.ErrUnsupported) {
		tb.Skip("processes cannot be frozen on this system")
	}
	tb.Cleanup(thaw)
	if err != nil {
		tb.Fatalf("postgres: %v", err)
	}
	return thaw
}

// launch runs the server on its data and waits until it answers.
func (s *Server) launch(account *syscall.SysProcAttr) (err error) {
	// Speed is more important than durability.
	args := make([]string, 0, 16+2*len(s.settings))
	args = append(args,
		"-D", s.data, "-p", strconv.Itoa(s.port.Number()), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "max_connections=200")
	for _, setting := range s.settings { // the last one takes precedence
		args = append(args, "-c", setting)
	}
	server := exec.Command(filepath.Join(s.bin, "postgres"), args...) //nolint:gosec,noctx // found by find; it ends by signal
	server.SysProcAttr, server.Dir = account, s.dir
	if s.process, err = run(server); err != nil {
		return err
	}
	return s.ready()
}
