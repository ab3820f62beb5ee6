package replicas

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// patience bounds what happens soon on a quiet machine.
const patience = 2 * time.Minute

// replica is a process of the reference service, which reaches each node of the cluster through
// a proxy of its own.
type replica struct {
	name   string
	binary string
	dir    string
	config string
	base   string // http://127.0.0.1:port
	links  []*mqtttest.Proxy

	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of the process, after exited
}

const (
	collectorConfig = `server:
  http: {addr: %q, timeout: 20s}
mqtt:
  connection: {addresses: [%s], preset: %q, client_id: %q, max_reconnect_delay: 1s}
  outbox: {driver: file, path: %q, max_entries: 1000000}
`
	saverConfig = `server:
  http: {addr: %q, timeout: 5s}
  mqtt:
    concurrency: 16
    handler_timeout: 2s
%smqtt:
  connection: {addresses: [%s], preset: %q, client_id: %q, max_reconnect_delay: 1s}
  outbox: {driver: sql}
data:
  database: {driver: postgres, source: %q}
`
	groups = `    subscriptions:
      /report.v1.ReportEvents/SaveUserReport: {group: savers}
      /report.v1.ReportEvents/SaveEventReport: {group: savers}
      /device.v1.DeviceEvents/RecordTelemetry: {group: savers}
      /device.v1.DeviceEvents/RecordHeartbeat: {group: savers}
      /device.v1.DeviceEvents/GetDeviceState: {group: savers}
`
)

// newReplica does not start the process yet. config returns the configuration for an address of
// HTTP, addresses of nodes and the name.
func (r *run) newReplica(tb testing.TB, name string, first int, config func(s *replica, addr, nodes string) string) *replica {
	tb.Helper()
	s := &replica{name: name, binary: r.o.Binary, dir: filepath.Join(r.dir, name)}
	nodes := make([]string, 0, r.cluster.Nodes())
	for i := range r.cluster.Nodes() { // each begins with another node
		link := mqtttest.NewProxy(tb, r.cluster.URL((first+i)%r.cluster.Nodes()))
		s.links = append(s.links, link)
		nodes = append(nodes, fmt.Sprintf("%q", link.URL()))
	}
	addr := port.Address(tb)
	s.base, s.config = "http://"+addr, filepath.Join(s.dir, "config.yaml")
	err := os.Mkdir(s.dir, 0o700)
	if err == nil {
		err = os.WriteFile(s.config, []byte(config(s, addr, strings.Join(nodes, ", "))), 0o600)
	}
	if err != nil {
		tb.Fatalf("replicas: %s: %v", name, err)
	}
	tb.Cleanup(func() {
		if s.cmd != nil {
			s.kill()
		}
	})
	return s
}

func (s *replica) logPath() string    { return filepath.Join(s.dir, "log") }
func (s *replica) outboxPath() string { return filepath.Join(s.dir, "outbox.db") }

// start starts the process and waits until it is ready.
func (s *replica) start() error {
	out, err := os.OpenFile(s.logPath(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	s.cmd = exec.Command(s.binary, "-conf", s.config) //nolint:gosec,noctx // the test built it; it ends by signal
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = dieWithParent()
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread() // for the system its parent is this thread
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
		}
		close(exited)
	}()
	s.exited = exited
	return <-started
}

// awaitReady waits until the process is connected and its filters are granted.
func (s *replica) awaitReady(client *http.Client) error {
	deadline := time.Now().Add(patience)
	for {
		response, err := client.Get(s.base + "/readyz") //nolint:noctx // the client has a time limit
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("%s has ended: %w", s.name, s.err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w", s.name, err)
		}
	}
}

func (s *replica) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// stop ends the process as an orchestrator does.
func (s *replica) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		if s.err != nil {
			return fmt.Errorf("%s: %w", s.name, s.err)
		}
		return nil
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("%s did not end on SIGTERM", s.name)
	}
}

// running reports that the process has not ended by itself.
func (s *replica) running() error {
	select {
	case <-s.exited:
		return fmt.Errorf("%s has ended: %w", s.name, s.err)
	default:
		return nil
	}
}
