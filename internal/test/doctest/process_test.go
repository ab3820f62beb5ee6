//go:build unix

package doctest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// process is the service, started by a command of the documents.
type process struct {
	cmd    *exec.Cmd
	base   string // its HTTP address
	output output
	exited chan error
}

var httpAddress = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// startService runs a command in the root of the module, on free ports and with its own database and
// outbox, and waits until it has printed its banner.
func startService(t *testing.T, command string) *process {
	t.Helper()
	if _, err := exec.LookPath("make"); err != nil {
		missing(t, "make")
	}
	p := &process{cmd: exec.Command("/bin/sh", "-c", command), exited: make(chan error, 1)}
	p.cmd.Dir = root
	own := t.TempDir()
	p.cmd.Env = append(withoutMake(os.Environ()),
		"KM_HTTP_ADDR=127.0.0.1:0", "KM_GRPC_ADDR=127.0.0.1:0", "KM_MQTT_ADDR=127.0.0.1:0", "KM_MQTT_BROKER=",
		"KM_DATABASE_SOURCE="+filepath.Join(own, "reports.db"), "KM_OUTBOX_PATH="+filepath.Join(own, "outbox.db"),
		"KM_MQTT_PATH="+filepath.Join(own, "broker.journal"))
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make and the service get the signal of Ctrl-C together
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() { p.end(t) })
	mqtttest.Eventually(t, 3*patience, func() bool { // it is built first
		p.base = httpAddress.FindString(p.output.String())
		return strings.Contains(p.output.String(), "/v1/reports\n\n")
	}, "%s printed:\n%s", command, &p.output)
	return p
}

// withoutMake removes the variables that make passes to the commands it runs, such as
// this test.
func withoutMake(env []string) []string {
	return slices.DeleteFunc(env, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "GNUMAKEFLAGS"}, name)
	})
}

// interrupt sends Ctrl-C and checks that the command leaves nothing behind.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited: // the signal also ends make
		p.exited <- nil
	case <-time.After(patience):
		t.Fatalf("still running after Ctrl-C:\n%s", &p.output)
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, 0); err == nil {
		t.Error("the service outlives make")
	}
}

func (p *process) end(t *testing.T) {
	select {
	case <-p.exited:
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
	if t.Failed() {
		t.Logf("output:\n%s", &p.output)
	}
}

// output is written by the process's pipes and read by the test.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
