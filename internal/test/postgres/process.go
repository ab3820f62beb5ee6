package postgres

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// process is a running server.
type process struct {
	command *exec.Cmd
	output  *output
	done    chan struct{} // closed when it has ended
}

func run(command *exec.Cmd) (*process, error) {
	p := &process{command: command, output: new(output), done: make(chan struct{})}
	command.Stdout, command.Stderr = p.output, p.output
	started := make(chan error, 1)
	go func() {
		// The server dies with its parent, which for the kernel is a thread, so this thread must
		// live as long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
		}
		close(p.done)
	}()
	return p, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop requests the fast shutdown.
func (p *process) stop() error { return p.end(os.Interrupt) }

// end sends a signal on which the server ends, and kills it if it does not end in time.
func (p *process) end(how os.Signal) error {
	_ = p.command.Process.Signal(how)
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		_ = p.command.Process.Kill()
		<-p.done
		return errors.New("the server did not stop in time")
	}
}

// output records what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// Bytes returns a copy of the output.
func (o *output) Bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.b.Bytes())
}
