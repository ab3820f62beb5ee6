package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

// startTimeout bounds the time until a started broker answers.
const startTimeout = 20 * time.Second

// startAttempts is how often a broker is started anew when another program
// took one of its ports in between.
const startAttempts = 5

// MosquittoBroker is a mosquitto process. Persistence is on, with a data
// directory of its own, and its queues are unbounded.
type MosquittoBroker struct {
	tb       testing.TB
	settings settings
	dir      string
	ports    mosquittoPorts
	process  *process
}

var _ Broker = (*MosquittoBroker)(nil)

// HaveMosquitto reports whether the mosquitto program is installed.
func HaveMosquitto() bool { return mosquittoPath() != "" }

// Mosquitto starts a real mosquitto on free loopback ports. Without the program
// the test is skipped, or fails when the environment variable CI is "true". The
// program's log is shown when the test fails.
func Mosquitto(tb testing.TB, opts ...MosquittoOption) *MosquittoBroker {
	tb.Helper()
	path := mosquittoPath()
	if path == "" {
		missing(tb, "mosquitto", "install the mosquitto package of your system")
	}
	b := &MosquittoBroker{tb: tb, dir: tb.TempDir()}
	for _, opt := range opts {
		opt(&b.settings)
	}
	b.process = &process{path: path, args: []string{"-c", b.file("mosquitto.conf")}, dir: b.dir}
	tb.Cleanup(b.cleanup)
	if err := b.startOnFreePorts(); err != nil {
		tb.Fatalf("mqtttest: mosquitto: %v\n%s", err, b.Log())
	}
	return b
}

// mosquittoPath finds the program, also in the directories for system programs,
// which are often not in a user's PATH.
func mosquittoPath() string {
	return lookPath("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")
}

// URL implements [Broker].
func (b *MosquittoBroker) URL() string { return loopbackURL("mqtt", b.ports.mqtt, "") }

// TLSURL is the mqtts:// address, empty without [WithTLS].
func (b *MosquittoBroker) TLSURL() string { return loopbackURL("mqtts", b.ports.tls, "") }

// WebSocketURL is the ws:// address, empty without [WithWebSocket].
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

// Stop implements [Broker]: SIGTERM, on which mosquitto saves its state, then
// wait.
func (b *MosquittoBroker) Stop() {
	b.tb.Helper()
	b.end(sigTerminate)
}

// Kill ends the process with SIGKILL and waits. What mosquitto has not saved is
// lost; by default it saves every 30 minutes and at an orderly end.
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

// Pause stops the process in its tracks (SIGSTOP): connections stay open and
// nothing answers.
func (b *MosquittoBroker) Pause() {
	b.tb.Helper()
	b.signal(sigPause)
}

// Resume lets a paused process go on.
func (b *MosquittoBroker) Resume() {
	b.tb.Helper()
	b.signal(sigResume)
}

// Reload makes mosquitto read passwords and access control again (SIGHUP). It
// does so soon after, not at once.
func (b *MosquittoBroker) Reload() {
	b.tb.Helper()
	b.signal(sigReload)
}

// Log returns the end of what the process printed.
func (b *MosquittoBroker) Log() string { return b.process.log.String() }

// Dir is the data directory.
func (b *MosquittoBroker) Dir() string { return b.dir }

func (b *MosquittoBroker) signal(sig os.Signal) {
	b.tb.Helper()
	if err := b.process.signal(sig); err != nil {
		b.tb.Errorf("mqtttest: mosquitto: %v: %v", sig, err)
	}
}

func (b *MosquittoBroker) end(sig os.Signal) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := b.process.end(ctx, sig); err != nil {
		b.tb.Errorf("mqtttest: mosquitto: %v", err)
	}
}

func (b *MosquittoBroker) cleanup() {
	_ = b.process.signal(sigResume) // a paused process cannot end
	b.end(sigTerminate)
	if b.tb.Failed() {
		b.tb.Logf("log of mosquitto:\n%s", b.Log())
	}
}

// startOnFreePorts picks ports and starts, with new ports when one was taken
// by somebody else before mosquitto opened it.
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
		if !errors.Is(err, errNotRunning) {
			break
		}
	}
	return errors.Join(errs...)
}

func (b *MosquittoBroker) start() error {
	if err := b.process.start(); err != nil {
		return err
	}
	return poll(startTimeout, func() error { return ready(b.process, b.ports.mqtt, answers) })
}

func loopbackURL(scheme string, port int, path string) string {
	if port == 0 {
		return ""
	}
	return fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, path)
}
