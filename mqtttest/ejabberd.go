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

// EjabberdBroker is an ejabberd node with only its MQTT module, without Erlang distribution.
// It supports MQTT 3.1.1 and 5. Its sessions are in memory and lost on Stop.
type EjabberdBroker struct {
	tb      testing.TB
	dir     string
	port    int
	process *program.Process
}

var _ Broker = (*EjabberdBroker)(nil)

// HaveEjabberd reports whether Erlang and ejabberd are installed where Debian installs them.
func HaveEjabberd() bool { return program.LookPath("erl") != "" && ejabberdPath() != "" }

// ejabberdPath returns the directory of its code, or "".
func ejabberdPath() string {
	for _, pattern := range []string{"/usr/lib/*/ejabberd-*/ebin/ejabberd.beam", "/usr/lib/erlang/lib/ejabberd-*/ebin/ejabberd.beam"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return filepath.Dir(found[0])
		}
	}
	return ""
}

// Ejabberd starts a node on a free loopback port, with configuration and data in a directory
// of the test. If the program is not installed, the test is skipped, or fails if the
// environment variable CI is "true". The log is shown if the test fails.
func Ejabberd(tb testing.TB) *EjabberdBroker {
	tb.Helper()
	if !HaveEjabberd() {
		program.Missing(tb, "ejabberd", "install the ejabberd package of Debian")
	}
	b := &EjabberdBroker{tb: tb, dir: tb.TempDir()}
	code := ejabberdPath()
	b.process = &program.Process{
		Path: program.LookPath("erl"), Dir: b.dir,
		Args: []string{"-noinput", "-mnesia", "dir", fmt.Sprintf("%q", b.file("mnesia")), "-pa", code, "-s", "ejabberd"},
		Env: append(os.Environ(), "HOME="+b.dir, "SPOOL_DIR="+b.dir, "EJABBERD_CONFIG_PATH="+b.file("ejabberd.yml"),
			"EJABBERD_LOG_PATH="+b.file("ejabberd.log"), "ERL_LIBS="+filepath.Dir(filepath.Dir(code)), "ERL_CRASH_DUMP=/dev/null"),
	}
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
		tb.Fatalf("mqtttest: ejabberd: %v\n%s", err, b.log())
	}
	return b
}

// ejabberdConfig admits any user name and permits everything.
const ejabberdConfig = `hosts: [localhost]
loglevel: warning
auth_method: [anonymous]
anonymous_protocol: login_anon
allow_multiple_connections: true
listen:
  -
    port: %d
    ip: "127.0.0.1"
    module: mod_mqtt
    backlog: 100
modules:
  mod_mqtt:
    access_publish:
      "#":
        - allow: all
    access_subscribe:
      "#":
        - allow: all
`

func (b *EjabberdBroker) configure() error {
	b.port = port.Of(b.tb)
	return os.WriteFile(b.file("ejabberd.yml"), fmt.Appendf(nil, ejabberdConfig, b.port), 0o600)
}

func (b *EjabberdBroker) file(name string) string { return filepath.Join(b.dir, name) }

// URL implements [Broker]. It contains a user name, which this node requires but does not
// check.
func (b *EjabberdBroker) URL() string { return fmt.Sprintf("mqtt://test:test@127.0.0.1:%d", b.port) }

// Features implements [Broker].
func (*EjabberdBroker) Features() Features {
	return Features{Name: "ejabberd", MQTT5: true, Headers: true, QoS2: true, Retained: true}
}

// Stop implements [Broker]: it sends SIGTERM. Sessions are lost.
func (b *EjabberdBroker) Stop() {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), program.StopTimeout)
	defer cancel()
	if err := b.process.End(ctx, program.SigTerminate); err != nil {
		b.tb.Errorf("mqtttest: ejabberd: %v", err)
	}
}

// Start implements [Broker].
func (b *EjabberdBroker) Start() {
	b.tb.Helper()
	if err := b.start(); err != nil {
		b.tb.Errorf("mqtttest: ejabberd: %v", err)
	}
}

func (b *EjabberdBroker) start() error {
	if err := b.process.Start(); err != nil {
		return err
	}
	return program.Poll(startTimeout, func() error { return program.Ready(b.process, b.port, program.Answers) })
}

func (b *EjabberdBroker) log() string {
	text, _ := os.ReadFile(b.file("ejabberd.log")) // the file may not exist
	return b.process.Log.String() + string(text)
}

func (b *EjabberdBroker) cleanup() {
	b.Stop()
	if b.tb.Failed() {
		b.tb.Logf("log of ejabberd:\n%s", b.log())
	}
}
