// Package program starts the brokers of tests: programs on loopback ports, which end with the
// test.
package program

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

// ErrNotRunning is the error of a program that has ended.
var ErrNotRunning = errors.New("process is not running")

// StopTimeout limits how long a broker may take to end.
const StopTimeout = time.Minute

// LookPath returns the path of the first of the programs that is installed, or "".
func LookPath(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// ToolPath returns the path of a file below the folder .tools of the working directory or of one
// of its parents, or "".
func ToolPath(names ...string) string {
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

// NATS returns the path of the NATS server, or "": that of .tools, else that of the system.
func NATS() string {
	if path := ToolPath("nats-server"); path != "" {
		return path
	}
	return LookPath("nats-server")
}

// Process is a program that can be started more than once. Each run is owned by one goroutine,
// which starts it and waits for its end.
type Process struct {
	// Path of the program, with its arguments and folder.
	Path string
	Args []string
	Dir  string
	// Env is the environment; nil means that of the test.
	Env []string
	// Log has the end of the output.
	Log Log

	mu     sync.Mutex
	proc   *os.Process
	exited chan struct{} // closed when the run ended, nil before the first
	err    error         // of the run, valid after exited
}

// Start starts the program and returns once the system has done so.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return errors.New("process is already running")
	}
	cmd := exec.Command(p.Path, p.Args...) //nolint:noctx // it ends by signal, in the way that the test asks for
	cmd.Dir, cmd.Env = p.Dir, p.Env
	cmd.Stdout, cmd.Stderr = &p.Log, &p.Log
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

func (p *Process) running() bool {
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

// Alive returns an error if the run ended by itself.
func (p *Process) Alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	if p.err == nil {
		return ErrNotRunning
	}
	return fmt.Errorf("%w: %w", ErrNotRunning, p.err)
}

// Err returns the error of a run that has ended, such as its exit status; nil if that is 0, and while
// the program runs.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	return p.err
}

// Signal sends a signal to the program and its children.
func (p *Process) Signal(sig os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return ErrNotRunning
	}
	return signalGroup(p.proc, sig)
}

// End sends a signal and waits for the end of the run. If the context ends first, it kills the
// program and returns an error. It does nothing if the program is not running.
func (p *Process) End(ctx context.Context, sig os.Signal) error {
	if err := p.Signal(sig); errors.Is(err, ErrNotRunning) || errors.Is(err, os.ErrProcessDone) {
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
		_ = p.Signal(os.Kill)
		<-exited
		return fmt.Errorf("killed, because it did not end on %v: %w", sig, ctx.Err())
	}
}

// Log keeps the last bytes of the output of a program.
type Log struct {
	mu   sync.Mutex
	data []byte
}

const logKept = 64 << 10

func (b *Log) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data = append(b.data, p...)
	if n := len(b.data) - logKept; n > 0 {
		b.data = append(b.data[:0], b.data[n:]...)
	}
	return len(p), nil
}

func (b *Log) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.data)
}
