package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

var errNotRunning = errors.New("process is not running")

// stopTimeout limits how long a broker may take to end.
const stopTimeout = time.Minute

// lookPath returns the path of the first of the programs that is installed, or "".
func lookPath(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// toolPath returns the path of a file below the folder .tools of the working directory or of one
// of its parents, or "".
func toolPath(names ...string) string {
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(append([]string{dir, ".tools"}, names...)...)
		if _, missing := os.Stat(path); missing == nil {
			return path
		}
		above := filepath.Dir(dir)
		if above == dir {
			break
		}
		dir = above
	}
	return ""
}

// process is a program that can be started more than once. Each run is owned by one goroutine,
// which starts it and waits for its end.
type process struct {
	path string
	args []string
	dir  string
	env  []string // nil: the test's own
	log  logBuffer

	mu     sync.Mutex
	proc   *os.Process
	exited chan struct{} // closed when the run ended, nil before the first
	err    error         // of the run, valid after exited
}

// start starts the program and returns once the system has done so.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return errors.New("process is already running")
	}
	cmd := exec.Command(p.path, p.args...) //nolint:noctx // it ends by signal, in the way that the test asks for
	cmd.Dir, cmd.Env = p.dir, p.env
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = time.Second

	started := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		// The child dies with its parent, which for the system is a thread: keep this thread
		// as long as the child runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	p.proc, p.exited = cmd.Process, exited
	return nil
}

func (p *process) running() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// alive returns an error if the run ended by itself.
func (p *process) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	return fmt.Errorf("%w: %w", errNotRunning, p.err)
}

func (p *process) signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return errNotRunning
	}
	return signalGroup(p.proc, sig)
}

// end sends a signal and waits for the end of the run. If the context ends first, it kills the
// program and returns an error. It does nothing if the program is not running.
func (p *process) end(ctx context.Context, sig os.Signal) error {
	if err := p.signal(sig); errors.Is(err, errNotRunning) || errors.Is(err, os.ErrProcessDone) {
		return nil
	} else if err != nil {
		return err
	}
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	select {
	case <-exited:
		return nil
	case <-ctx.Done():
		_ = p.signal(os.Kill)
		<-exited
		return fmt.Errorf("killed, because it did not end on %v: %w", sig, ctx.Err())
	}
}

// logBuffer keeps the last bytes of the output of a program.
type logBuffer struct {
	mu   sync.Mutex
	data []byte
}

const logKept = 64 << 10

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	if n := len(b.data) - logKept; n > 0 {
		b.data = append(b.data[:0], b.data[n:]...)
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
