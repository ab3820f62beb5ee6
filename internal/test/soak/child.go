package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// roleEnv makes a process of this binary a child; configEnv configures it.
const (
	roleEnv   = "CHAIN_ROLE"
	configEnv = "CHAIN_CONFIG"
)

// childConfig is the configuration of a publisher or consumer.
type childConfig struct {
	Index    int           `json:"index"`
	URL      string        `json:"url"`
	Protocol string        `json:"protocol"`
	Seed     uint64        `json:"seed"`
	Messages int           `json:"messages"` // messages of this publisher
	Rate     int           `json:"rate"`
	Hold     time.Duration `json:"hold"`
	Dir      string        `json:"dir"`  // folder of all logs and stores of this child
	Peer     string        `json:"peer"` // for a publisher: the folder of its consumer
}

// RunChild runs this process as a child and then exits, if it was started as one. Every
// program that calls [Run] must call it first.
func RunChild() {
	role := os.Getenv(roleEnv)
	if role == "" {
		return
	}
	if err := runRole(role); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runRole(role string) error {
	var cfg childConfig
	if err := json.Unmarshal([]byte(os.Getenv(configEnv)), &cfg); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch role {
	case "publisher":
		return publish(ctx, cfg)
	case "consumer":
		return consume(ctx, cfg)
	}
	return fmt.Errorf("unknown role %q", role)
}

// child is a process that can be killed and started again.
type child struct {
	tb   testing.TB
	role string
	cfg  childConfig

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan error // receives the end of command
}

func newChild(tb testing.TB, role string, cfg childConfig) *child {
	c := &child{tb: tb, role: role, cfg: cfg}
	c.start()
	tb.Cleanup(c.kill)
	return c
}

func (c *child) start() {
	config, err := json.Marshal(c.cfg)
	if err != nil {
		c.tb.Fatalf("chain: %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		c.tb.Fatalf("chain: %v", err)
	}
	log, err := os.OpenFile(logPath(c.cfg.Dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.tb.Fatalf("chain: %v", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(self) //nolint:gosec,noctx // this program; it ends by signal, in the way that the run asks for
	cmd.Env = append(os.Environ(), roleEnv+"="+c.role, configEnv+"="+string(config))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = endWithParent()
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		// The child dies with its parent, which for the kernel is a thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if started <- err; err == nil {
			exited <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		c.tb.Fatalf("chain: start the %s: %v", c.role, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.command, c.exited = cmd, exited
}

// kill ends the process with SIGKILL and waits. It does nothing if the process has ended.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command == nil {
		return
	}
	_ = c.command.Process.Kill()
	<-c.exited //nolint:errcheck // it was killed
	c.command = nil
}

// stop asks the process to drain, and kills it if that takes too long.
func (c *child) stop(patience time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command == nil {
		return errors.New("is not running")
	}
	_ = c.command.Process.Signal(syscall.SIGTERM)
	defer func() { c.command = nil }()
	select {
	case err := <-c.exited:
		return err
	case <-time.After(patience):
		_ = c.command.Process.Kill()
		<-c.exited //nolint:errcheck // it was killed
		return fmt.Errorf("did not stop within %v", patience)
	}
}

// pause suspends the process, resume continues it.
func (c *child) pause()  { c.signal(suspendSignal) }
func (c *child) resume() { c.signal(continueSignal) }

func (c *child) signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command != nil {
		_ = c.command.Process.Signal(s)
	}
}

var errEnded = errors.New("not requested")

// died returns why the process ended by itself, or nil while it runs.
func (c *child) died() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.command == nil {
		return nil
	}
	select {
	case err := <-c.exited:
		c.command = nil
		return fmt.Errorf("the %s ended by itself: %w", c.role, errors.Join(errEnded, err))
	default:
		return nil
	}
}
