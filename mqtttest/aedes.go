package mqtttest

import (
	"context"
	"strconv"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// AedesBroker is the Node.js broker aedes in a separate process. It supports MQTT 3.1.1.
// Everything is in memory, including sessions, and lost on Stop.
type AedesBroker struct {
	tb      testing.TB
	port    int
	process *program.Process
}

var _ Broker = (*AedesBroker)(nil)

// aedesVersion is the version that this package is tested with.
const aedesVersion = "0.51.3"

const aedesScript = `
const aedes = require(process.argv[1])();
require("net").createServer(aedes.handle).listen(Number(process.argv[2]), "127.0.0.1");
`

// HaveAedes reports whether Node.js and aedes are installed; the latter in
// .tools/npm/node_modules of the working directory or one of its parents.
func HaveAedes() bool { return program.LookPath("node") != "" && aedesPath() != "" }

// Aedes starts a broker on a free loopback port. If the programs are not installed, the test
// is skipped, or fails if the environment variable CI is "true". The output of the program is
// shown if the test fails.
func Aedes(tb testing.TB) *AedesBroker {
	tb.Helper()
	if !HaveAedes() {
		program.Missing(tb, "aedes", "install Node.js, and npm install --ignore-scripts --prefix .tools/npm aedes@"+aedesVersion)
	}
	b := &AedesBroker{tb: tb}
	tb.Cleanup(b.cleanup)
	var err error
	for range startAttempts {
		b.port = port.Of(tb)
		b.process = &program.Process{
			Path: program.LookPath("node"), Args: []string{"-e", aedesScript, "--", aedesPath(), strconv.Itoa(b.port)}, Dir: tb.TempDir(),
		}
		if err = b.start(); err == nil {
			return b
		}
	}
	tb.Fatalf("mqtttest: aedes: %v", err)
	return nil
}

// aedesPath returns the directory of the package, or "".
func aedesPath() string { return program.ToolPath("npm", "node_modules", "aedes") }

// URL implements [Broker].
func (b *AedesBroker) URL() string { return loopbackURL("mqtt", b.port, "") }

// Features implements [Broker].
func (*AedesBroker) Features() Features {
	return Features{Name: "aedes", QoS2: true, Retained: true}
}

// Stop implements [Broker]: it sends SIGTERM. All state is lost.
func (b *AedesBroker) Stop() {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), program.StopTimeout)
	defer cancel()
	if err := b.process.End(ctx, program.SigTerminate); err != nil {
		b.tb.Errorf("mqtttest: aedes: %v", err)
	}
}

// Start implements [Broker].
func (b *AedesBroker) Start() {
	b.tb.Helper()
	if err := b.start(); err != nil {
		b.tb.Errorf("mqtttest: aedes: %v", err)
	}
}

func (b *AedesBroker) start() error {
	if err := b.process.Start(); err != nil {
		return err
	}
	return program.Poll(startTimeout, func() error { return program.Ready(b.process, b.port, program.Answers) })
}

func (b *AedesBroker) cleanup() {
	if b.process == nil {
		return
	}
	b.Stop()
	if b.tb.Failed() {
		b.tb.Logf("log of aedes:\n%s", b.process.Log.String())
	}
}
