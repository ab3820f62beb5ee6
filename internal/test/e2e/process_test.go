package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout is generous: several processes share two cores.
const startTimeout = time.Minute

// service is a running process of the built binary.
type service struct {
	cmd    *exec.Cmd
	base   string // http://127.0.0.1:port
	output *syncBuffer
	exited chan struct{}
	err    error
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// start runs the binary with a configuration, a file of the repository or a path, and waits for its
// banner, which contains the HTTP address. The process has its own outbox and broker file, unless
// env sets them.
func start(t testing.TB, config string, env ...string) *service {
	t.Helper()
	s := &service{output: &syncBuffer{}, exited: make(chan struct{})}
	if !filepath.IsAbs(config) {
		config = shipped(config)
	}
	s.cmd = exec.Command(binary, "-conf", config)
	s.cmd.Env = append(append(os.Environ(), "KM_HTTP_ADDR=127.0.0.1:0", "KM_GRPC_ADDR=127.0.0.1:0", "KM_MQTT_ADDR=127.0.0.1:0", outbox(t), journal(t)), env...)
	s.cmd.Stderr = s.output
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	banner := make(chan string, 1)
	go func() {
		s.read(stdout, banner)
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() { s.end(t) })
	select {
	case s.base = <-banner:
	case <-s.exited:
		t.Fatalf("the service ended at once: %v\n%s", s.err, s.output)
	case <-time.After(startTimeout):
		t.Fatalf("no banner within %v:\n%s", startTimeout, s.output)
	}
	return s
}

func (s *service) read(stdout io.Reader, banner chan<- string) {
	lines := bufio.NewScanner(stdout)
	found := false
	for lines.Scan() {
		_, _ = s.output.Write(append(lines.Bytes(), '\n'))
		if url := address.FindString(lines.Text()); url != "" && !found {
			found = true
			banner <- url
		}
	}
}

// kill sends SIGKILL: nothing is drained.
func (s *service) kill(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.exited
}

// stop sends SIGTERM, after which the service must exit with code 0.
func (s *service) stop(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
}

func (s *service) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(startTimeout):
		t.Fatalf("still running %v after %v:\n%s", startTimeout, sig, s.output)
	}
	if s.err != nil {
		t.Errorf("exit after %v: %v\n%s", sig, s.err, s.output)
	}
}

func (s *service) end(t testing.TB) {
	select {
	case <-s.exited:
	default:
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	if t.Failed() {
		t.Logf("output of the service:\n%s", tail(s.output.String(), 8<<10))
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// syncBuffer is written by the process's pipes and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func shipped(config string) string { return filepath.Join(root, "configs", config) }

// changed returns a shipped configuration with old texts, which must occur, replaced.
func changed(t testing.TB, config string, oldnew ...string) string {
	t.Helper()
	text, err := os.ReadFile(shipped(config))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !contains(string(text), oldnew[i]) {
			t.Fatalf("%s has no %q", config, oldnew[i])
		}
	}
	path := filepath.Join(t.TempDir(), config)
	if err := os.WriteFile(path, []byte(strings.NewReplacer(oldnew...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// database returns a new SQLite file, as a variable and as a path.
func database(t testing.TB) (variable, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "reports.db")
	return "KM_DATABASE_SOURCE=" + path, path
}

// outbox returns a new outbox file, as a variable.
func outbox(t testing.TB) string {
	t.Helper()
	return "KM_OUTBOX_PATH=" + filepath.Join(t.TempDir(), "outbox.db")
}

// journal returns a new file of the in-process broker, as a variable.
func journal(t testing.TB) string {
	t.Helper()
	return "KM_MQTT_PATH=" + filepath.Join(t.TempDir(), "broker.journal")
}

// client returns an HTTP client that keeps enough connections for all posting goroutines.
func client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func contains(s, sub string) bool { return strings.Contains(s, sub) }
