package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// NATSBroker is a NATS server with JetStream and its MQTT listener. It supports MQTT 3.1.1, and
// grants shared subscriptions but does not serve them. Sessions and retained messages outlive
// Stop.
type NATSBroker struct {
	tb      testing.TB
	dir     string
	port    int
	process *program.Process
}

var _ Broker = (*NATSBroker)(nil)

// natsVersion is the version that this package is tested with.
const natsVersion = "v2.15.2"

// HaveNATS reports whether a NATS server is installed: in .tools of the working directory or one
// of its parents, else where the system has its programs.
func HaveNATS() bool { return program.NATS() != "" }

// NATS starts a server on free loopback ports, with configuration and data in a directory of the
// test. If the program is not installed, the test is skipped, or fails if the environment variable
// CI is "true". The output of the program is shown if the test fails.
func NATS(tb testing.TB) *NATSBroker {
	tb.Helper()
	if !HaveNATS() {
		program.Missing(tb, "nats-server", "make nats, or install nats-server; tested with "+natsVersion)
	}
	b := &NATSBroker{tb: tb, dir: tb.TempDir()}
	b.process = &program.Process{Path: program.NATS(), Args: []string{"-c", b.file("nats.conf")}, Dir: b.dir}
	tb.Cleanup(b.cleanup)
	var err error
	for range startAttempts {
		if err = b.configure(); err == nil {
			err = b.start()
		}
		if !errors.Is(err, program.ErrNotRunning) {
			break
		}
	}
	if err != nil {
		tb.Fatalf("mqtttest: nats: %v\n%s", err, b.process.Log.String())
	}
	return b
}

// natsConfig has what MQTT needs of a server: a name and JetStream.
const natsConfig = `server_name: mqtttest
listen: "127.0.0.1:%d"
jetstream { store_dir: %q }
mqtt { host: "127.0.0.1", port: %d }
`

func (b *NATSBroker) configure() error {
	b.port = port.Of(b.tb)
	return os.WriteFile(b.file("nats.conf"), fmt.Appendf(nil, natsConfig, port.Of(b.tb), b.file("jetstream"), b.port), 0o600)
}

func (b *NATSBroker) file(name string) string { return filepath.Join(b.dir, name) }

// URL implements [Broker].
func (b *NATSBroker) URL() string { return loopbackURL("mqtt", b.port, "") }

// Features implements [Broker].
func (*NATSBroker) Features() Features {
	return Features{Name: "nats", QoS2: true, Retained: true, PersistsRetained: true, PersistsOverRestart: true}
}

// Stop implements [Broker]: it sends SIGTERM.
func (b *NATSBroker) Stop() {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), program.StopTimeout)
	defer cancel()
	if err := b.process.End(ctx, program.SigTerminate); err != nil {
		b.tb.Errorf("mqtttest: nats: %v", err)
	}
}

// Start implements [Broker].
func (b *NATSBroker) Start() {
	b.tb.Helper()
	if err := b.start(); err != nil {
		b.tb.Errorf("mqtttest: nats: %v", err)
	}
}

func (b *NATSBroker) start() error {
	if err := b.process.Start(); err != nil {
		return err
	}
	return program.Poll(startTimeout, func() error { return program.Ready(b.process, b.port, program.Answers) })
}

func (b *NATSBroker) cleanup() {
	b.Stop()
	if b.tb.Failed() {
		b.tb.Logf("log of nats:\n%s", b.process.Log.String())
	}
}
