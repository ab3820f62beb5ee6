package replicas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// patience bounds what happens soon on a quiet machine.
const patience = 2 * time.Minute

// replica is a process of the reference service, which reaches each node of the cluster through
// a proxy of its own.
type replica struct {
	name  string
	base  string // http://127.0.0.1:port
	links []*mqtttest.Proxy

	process program.Process
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
	s := &replica{name: name}
	s.process.Path, s.process.Dir = r.o.Binary, filepath.Join(r.dir, name)
	nodes := make([]string, 0, r.cluster.Nodes())
	for i := range r.cluster.Nodes() { // each begins with another node
		link := mqtttest.NewProxy(tb, r.cluster.URL((first+i)%r.cluster.Nodes()))
		s.links = append(s.links, link)
		nodes = append(nodes, fmt.Sprintf("%q", link.URL()))
	}
	addr := port.Address(tb)
	s.base = "http://" + addr
	file := filepath.Join(s.process.Dir, "config.yaml")
	s.process.Args = []string{"-conf", file}
	err := os.Mkdir(s.process.Dir, 0o700)
	if err == nil {
		err = os.WriteFile(file, []byte(config(s, addr, strings.Join(nodes, ", "))), 0o600)
	}
	if err != nil {
		tb.Fatalf("replicas: %s: %v", name, err)
	}
	tb.Cleanup(func() {
		s.kill()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", name, s.process.Log.String())
		}
	})
	return s
}

func (s *replica) outboxPath() string { return filepath.Join(s.process.Dir, "outbox.db") }

// start starts the process.
func (s *replica) start() error { return s.process.Start() }

// awaitReady waits until the process is connected and its filters are granted.
func (s *replica) awaitReady(client *http.Client) error {
	err := program.Poll(patience, func() error {
		if err := s.running(); err != nil {
			return program.StopPollingError{Err: err}
		}
		response, err := client.Get(s.base + "/readyz") //nolint:noctx // the client has a time limit
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s is not ready: %w", s.name, err)
	}
	return nil
}

func (s *replica) kill() { _ = s.process.End(context.Background(), os.Kill) }

// stop ends the process as an orchestrator does.
func (s *replica) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.process.End(ctx, program.SigTerminate)
	if err == nil {
		err = s.process.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// running returns an error if the process has ended by itself.
func (s *replica) running() error {
	if err := s.process.Alive(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}
