package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// patience bounds each start, also on a busy machine.
const patience = 3 * time.Minute

// Programs is a cluster whose nodes are programs, with folders of the test's own.
type Programs struct {
	tb    testing.TB
	name  string
	dir   string
	user  string // of the addresses, with @
	nodes []*node
	// joined returns an error while the running nodes do not see each other.
	joined func(running []*node) error

	mu sync.Mutex // held by one Kill, Stop or Start at a time
}

var _ Cluster = (*Programs)(nil)

// node is one program.
type node struct {
	*program.Process
	name  string
	ports map[string]int // by purpose; "mqtt" is that of its address
}

// programs chooses the names and ports of nodes.
func programs(tb testing.TB, name string, nodes int, purposes ...string) *Programs {
	tb.Helper()
	if nodes < 1 {
		tb.Fatalf("cluster: %s: %d nodes, want at least 1", name, nodes)
	}
	c := &Programs{tb: tb, name: name, dir: tb.TempDir()}
	for i := range nodes {
		n := &node{Process: new(program.Process), name: fmt.Sprintf("n%d", i), ports: map[string]int{"mqtt": port.Of(tb)}}
		for _, purpose := range purposes {
			n.ports[purpose] = port.Of(tb)
		}
		n.Dir = filepath.Join(c.dir, n.name)
		if err := os.Mkdir(n.Dir, 0o700); err != nil {
			tb.Fatalf("cluster: %s: %v", name, err)
		}
		c.nodes = append(c.nodes, n)
	}
	tb.Cleanup(c.end)
	return c
}

// write writes a file of a node, and returns its path.
func (c *Programs) write(n *node, name, text string) string {
	c.tb.Helper()
	path := filepath.Join(n.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.tb.Fatalf("cluster: %s: %v", c.name, err)
	}
	return path
}

// start starts all nodes at once, and waits for them.
func (c *Programs) start() *Programs {
	c.tb.Helper()
	for _, n := range c.nodes {
		if err := n.Process.Start(); err != nil {
			c.tb.Fatalf("cluster: %s: %v", c.name, err)
		}
	}
	if err := c.ready(); err != nil {
		c.tb.Fatalf("cluster: %s: %v", c.name, err)
	}
	return c
}

// ready waits until all running nodes answer and see each other.
func (c *Programs) ready() error {
	running := c.running()
	for _, n := range running {
		if err := program.Poll(patience, func() error { return program.Ready(n.Process, n.ports["mqtt"], program.Answers) }); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return program.Poll(patience, func() error { return c.joined(running) })
}

func (c *Programs) running() (running []*node) {
	for _, n := range c.nodes {
		if n.Alive() == nil {
			running = append(running, n)
		}
	}
	return running
}

// Name implements [Cluster].
func (c *Programs) Name() string { return c.name }

// Nodes implements [Cluster].
func (c *Programs) Nodes() int { return len(c.nodes) }

// URL implements [Cluster].
func (c *Programs) URL(node int) string {
	return fmt.Sprintf("mqtt://%s127.0.0.1:%d", c.user, c.nodes[node].ports["mqtt"])
}

// Kill implements [Cluster].
func (c *Programs) Kill(node int) { c.tb.Helper(); c.signal(node, os.Kill) }

// Stop implements [Cluster].
func (c *Programs) Stop(node int) { c.tb.Helper(); c.signal(node, program.SigTerminate) }

func (c *Programs) signal(node int, sig os.Signal) {
	c.tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), program.StopTimeout)
	defer cancel()
	if err := c.nodes[node].End(ctx, sig); err != nil {
		c.tb.Errorf("cluster: %s: %s: %v", c.name, c.nodes[node].name, err)
	}
}

// Start implements [Cluster].
func (c *Programs) Start(node int) {
	c.tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[node]
	if n.Alive() == nil {
		return
	}
	err := n.Process.Start()
	if err == nil {
		err = c.ready()
	}
	if err != nil {
		c.tb.Errorf("cluster: %s: %s: %v", c.name, n.name, err)
	}
}

// Log returns the end of the output of a node.
func (c *Programs) Log(node int) string { return c.nodes[node].Process.Log.String() }

func (c *Programs) end() {
	for i, n := range c.nodes {
		_ = n.End(context.Background(), os.Kill)
		if c.tb.Failed() {
			c.tb.Logf("log of %s, %s:\n%s", c.name, n.name, c.Log(i))
		}
	}
}

// get returns what a node serves by HTTP on its port for that.
func (n *node) get(path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", n.ports["http"], path), http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Close = true // no idle connection outlives the test
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s: %s: %s", n.name, response.Status, body))
	}
	return body, errors.Join(err, response.Body.Close())
}
