//go:build unix

package scaffold

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

const (
	// root is the folder of the module, relative to this package.
	root = "../../.."
	// patience bounds every wait; other tests share the processors.
	patience = 6 * time.Minute
)

// project is a service that was made.
type project struct {
	folder string
	tools  string // folder of kratos-mqtt
}

// env returns the environment of commands in a project: offline, with no proto compiler or
// plugin but those that Go builds.
func (p project) env() []string {
	return append(environment(), "GOPROXY=off", "GOWORK=off", "GOFLAGS=-mod=readonly -trimpath")
}

// environment returns that of this process without what make passes on.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "GNUMAKEFLAGS", "MQTT_BROKER"}, name)
	})
}

func (p project) goTool(t *testing.T, args ...string) string {
	t.Helper()
	return mustRun(t, p.folder, p.env(), "go", args...)
}

func (p project) make(t *testing.T, target string) {
	t.Helper()
	mustRun(t, p.folder, p.env(), "make", target)
}

// build builds the command.
func build(t *testing.T) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), "kratos-mqtt")
	mustRun(t, root, environment(), "go", "build", "-o", tool, "./tools/kratos-mqtt")
	return tool
}

// worktree returns a worktree of a new Git repository.
func worktree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"init", "--quiet", "main"},
		{"-C", "main", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--allow-empty", "-m", "empty"},
		{"-C", "main", "worktree", "add", "--quiet", "../tree"},
	} {
		mustRun(t, dir, environment(), "git", args...)
	}
	return filepath.Join(dir, "tree")
}

func run(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Env = dir, env
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func abs(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// process is a running service.
type process struct {
	cmd    *exec.Cmd
	output output
	exited chan error
}

// start runs a command of a shell in the project, with free ports.
func (p project) start(t *testing.T, command string) *process {
	t.Helper()
	r := &process{cmd: exec.Command("/bin/sh", "-c", command), exited: make(chan error, 1)}
	r.cmd.Dir = p.folder
	r.cmd.Env = append(p.env(), "HTTP_ADDR="+port.Address(t), "MQTT_ADDR=127.0.0.1:0")
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make and the service get the signal of Ctrl-C together
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.exited <- r.cmd.Wait() }()
	t.Cleanup(func() {
		select {
		case <-r.exited:
		default:
			_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
			<-r.exited
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", command, &r.output)
		}
	})
	return r
}

// interrupt sends Ctrl-C, and waits for the end.
func (r *process) interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-r.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-r.exited: // the signal also ends make
		r.exited <- nil
		if strings.Contains(r.output.String(), "panic") {
			t.Errorf("%v: %s", err, &r.output)
		}
	case <-time.After(patience):
		t.Fatalf("still running after Ctrl-C:\n%s", &r.output)
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
