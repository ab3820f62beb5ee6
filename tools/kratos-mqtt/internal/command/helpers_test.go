package command_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; other tests share the processors.
const patience = time.Minute

var update = flag.Bool("update", false, "write the golden files")

// golden compares a text with a file below testdata, or writes the file with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: -update writes the file\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}

// program is one run of the command line.
type program struct {
	Out, Err output
	done     chan struct{} // closed at the end of the program
	err      error         // how it ended; set before done is closed
	end      context.CancelFunc
}

// output is what a program wrote so far. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// begin starts the command line with arguments, in a folder of contexts of its own.
func begin(t testing.TB, in string, args ...string) *program {
	t.Helper()
	return beginAt(t, t.TempDir(), in, args...)
}

// beginAt is begin with a folder of contexts.
func beginAt(t testing.TB, home, in string, args ...string) *program {
	t.Helper()
	p := &program{done: make(chan struct{})}
	root := command.New(command.Terminal{In: strings.NewReader(in), Out: &p.Out, Err: &p.Err, Getenv: func(name string) string {
		if name == "KRATOS_MQTT_HOME" {
			return home
		}
		return ""
	}})
	root.SetArgs(args)
	var ctx context.Context
	ctx, p.end = context.WithCancel(t.Context())
	go func() {
		defer close(p.done)
		p.err = root.ExecuteContext(ctx)
	}()
	t.Cleanup(func() {
		p.end()
		_ = p.wait(t)
	})
	return p
}

// errRuns is the error of a program that does not end.
var errRuns = errors.New("still runs")

// wait returns how the program ended.
func (p *program) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		t.Errorf("still runs; output so far:\n%s\n%s", p.Out.String(), p.Err.String())
		return errRuns
	}
}

// run runs the command line and returns its output; an error fails the test.
func run(t *testing.T, in string, args ...string) string {
	t.Helper()
	p := begin(t, in, args...)
	if err := p.wait(t); err != nil {
		t.Fatalf("kratos-mqtt %s: %v\n%s", strings.Join(args, " "), err, p.Err.String())
	}
	return p.Out.String()
}

// brokers runs a test with each broker.
func brokers(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("in-process", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.InProcess(t).URL())
	})
	t.Run("mosquitto", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.Mosquitto(t).URL())
	})
}

// api is the folder of the .proto files of the reference service.
const api = "../../../../api"

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
