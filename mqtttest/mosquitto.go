package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// startTimeout limits how long a started broker may take to answer.
const startTimeout = time.Minute

// startAttempts is how often a broker is started with new ports because another program took
// one of them.
const startAttempts = 5

// MosquittoBroker is a mosquitto process. Persistence is enabled in a private data directory,
// and its queues are unlimited.
type MosquittoBroker struct {
	tb       testing.TB
	settings settings
	dir      string
	ports    mosquittoPorts
	process  *program.Process
}

var _ Broker = (*MosquittoBroker)(nil)

// Mosquitto starts a real mosquitto on free loopback ports. If the program is not installed,
// the test is skipped, or fails if the environment variable CI is "true". The log of the
// program is shown if the test fails.
func Mosquitto(tb testing.TB, opts ...MosquittoOption) *MosquittoBroker {
	tb.Helper()
	path := mosquittoPath()
	if path == "" {
		program.Missing(tb, "mosquitto", "install the mosquitto package of your system")
	}
	b := &MosquittoBroker{tb: tb, dir: tb.TempDir()}
	for _, opt := range opts {
		opt(&b.settings)
	}
	b.process = &program.Process{Path: path, Args: []string{"-c", b.file("mosquitto.conf")}, Dir: b.dir}
	tb.Cleanup(b.cleanup)
	if err := b.startOnFreePorts(); err != nil {
		tb.Fatalf("mqtttest: mosquitto: %v\n%s", err, b.Log())
	}
	return b
}

// mosquittoPath returns the path of the program. It also searches the directories of system
// programs, which are often not in the PATH of a user.
func mosquittoPath() string {
	return program.LookPath("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")
}

// URL implements [Broker].
func (b *MosquittoBroker) URL() string { return loopbackURL("mqtt", b.ports.mqtt, "") }

// TLSURL returns the mqtts:// address, or "" without [WithTLS].
func (b *MosquittoBroker) TLSURL() string { return loopbackURL("mqtts", b.ports.tls, "") }

// WebSocketURL returns the ws:// address, or "" without [WithWebSocket].
func (b *MosquittoBroker) WebSocketURL() string { return loopbackURL("ws", b.ports.webSocket, "/mqtt") }

// Features implements [Broker].
func (b *MosquittoBroker) Features() Features {
	f := Features{
		Name: "mosquitto", MQTT5: true, Headers: true, Requests: true, QoS2: true, SharedSubscriptions: true, Retained: true,
		PersistsRetained: true, PersistsOverRestart: true, PersistsConnectedMQTT5: true, MaxInflight: 20,
	}
	if b.settings.maxInflight > 0 {
		f.MaxInflight = b.settings.maxInflight
	}
	return f
}

// Stop implements [Broker]: it sends SIGTERM, on which mosquitto saves its state, and waits.
func (b *MosquittoBroker) Stop() {
	b.tb.Helper()
	b.end(program.SigTerminate)
}

// Kill ends the process with SIGKILL and waits. State that mosquitto has not saved is lost; by
// default it saves every 30 minutes and when it is stopped.
func (b *MosquittoBroker) Kill() {
	b.tb.Helper()
	b.end(os.Kill)
}

// Start implements [Broker].
func (b *MosquittoBroker) Start() {
	b.tb.Helper()
	if err := b.start(); err != nil {
		b.tb.Errorf("mqtttest: mosquitto: %v", err)
	}
}

// Pause stops the process (SIGSTOP): connections stay open, but nothing answers.
func (b *MosquittoBroker) Pause() {
	b.tb.Helper()
	b.signal(program.SigPause)
}

// Resume continues a paused process.
func (b *MosquittoBroker) Resume() {
	b.tb.Helper()
	b.signal(program.SigResume)
}

// Reload makes mosquitto read passwords and access rules again (SIGHUP). It does so shortly
// afterwards.
func (b *MosquittoBroker) Reload() {
	b.tb.Helper()
	b.signal(program.SigReload)
}

// Log returns the end of the output of the process.
func (b *MosquittoBroker) Log() string { return b.process.Log.String() }

// Dir returns the data directory.
func (b *MosquittoBroker) Dir() string { return b.dir }

func (b *MosquittoBroker) signal(sig os.Signal) {
	b.tb.Helper()
	if err := b.process.Signal(sig); err != nil {
		b.tb.Errorf("mqtttest: mosquitto: %v: %v", sig, err)
	}
}

func (b *MosquittoBroker) end(sig os.Signal) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), program.StopTimeout)
	defer cancel()
	if err := b.process.End(ctx, sig); err != nil {
		b.tb.Errorf("mqtttest: mosquitto: %v", err)
	}
}

func (b *MosquittoBroker) cleanup() {
	_ = b.process.Signal(program.SigResume) // a paused process cannot end
	b.end(program.SigTerminate)
	if b.tb.Failed() {
		b.tb.Logf("log of mosquitto:\n%s", b.Log())
	}
}

// startOnFreePorts chooses ports and starts mosquitto, with new ports if another program took
// one of them first.
func (b *MosquittoBroker) startOnFreePorts() error {
	var errs []error
	for range startAttempts {
		if err := b.configure(); err != nil {
			return err
		}
		err := b.start()
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if !errors.Is(err, program.ErrNotRunning) {
			break
		}
	}
	return errors.Join(errs...)
}

func (b *MosquittoBroker) start() error {
	if err := b.process.Start(); err != nil {
		return err
	}
	return program.Poll(startTimeout, func() error { return program.Ready(b.process, b.ports.mqtt, program.Answers) })
}

func loopbackURL(scheme string, port int, path string) string {
	if port == 0 {
		return ""
	}
	return fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, path)
}
