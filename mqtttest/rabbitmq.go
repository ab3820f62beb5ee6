package mqtttest

import (
	"errors"
	"os"
	"sync"
	"testing"
)

// RabbitMQBroker is a RabbitMQ node with its MQTT plugin: MQTT 3.1.1 only, QoS
// 2 granted as 1, shared subscriptions granted and never served, retained
// messages lost when the node stops soon after.
type RabbitMQBroker struct {
	tb   testing.TB
	node *rabbitNode
}

var _ Broker = (*RabbitMQBroker)(nil)

// RabbitMQOption configures [RabbitMQ].
type RabbitMQOption interface{ rabbitMQ(*settings) }

type rabbitOption func(*settings)

func (o rabbitOption) rabbitMQ(s *settings) { o(s) }

// WithRabbitMQConfig appends lines to rabbitmq.conf, after the ones that this
// package writes.
func WithRabbitMQConfig(lines ...string) RabbitMQOption {
	return rabbitOption(func(s *settings) { s.config = append(s.config, lines...) })
}

// HaveRabbitMQ reports whether the RabbitMQ server and Erlang's port mapper are
// installed.
func HaveRabbitMQ() bool { return rabbitPath() != "" && epmdPath() != "" }

// RabbitMQ starts a node of its own for the test, on free loopback ports, with
// its own home, cookie and data. It takes about ten seconds: tests that can
// share a node use [SharedRabbitMQ]. Without the program the test is skipped,
// or fails when the environment variable CI is "true".
func RabbitMQ(tb testing.TB, opts ...RabbitMQOption) *RabbitMQBroker {
	tb.Helper()
	needRabbitMQ(tb)
	node, err := newRabbitNode(tb.TempDir(), opts)
	if err != nil {
		tb.Fatalf("mqtttest: rabbitmq: %v", err)
	}
	b := &RabbitMQBroker{tb: tb, node: node}
	tb.Cleanup(func() {
		if err := node.close(); err != nil {
			tb.Errorf("mqtttest: rabbitmq: %v", err)
		}
	})
	tb.Cleanup(b.showLog)
	if err := node.startOnFreePorts(); err != nil {
		tb.Fatalf("mqtttest: rabbitmq: %v", err)
	}
	return b
}

func needRabbitMQ(tb testing.TB) {
	tb.Helper()
	if !HaveRabbitMQ() {
		missing(tb, "rabbitmq-server", "install the rabbitmq-server package of your system")
	}
}

// SharedRabbitMQ is one node for all tests of a test binary. Make it in
// TestMain, run the tests through it, and ask it for the broker in each test:
// the node starts with the first that asks.
//
//	var rabbit = mqtttest.NewSharedRabbitMQ()
//
//	func TestMain(m *testing.M) { os.Exit(rabbit.Main(m).Run()) }
type SharedRabbitMQ struct {
	opts []RabbitMQOption

	mu      sync.Mutex
	started bool
	dir     string
	node    *rabbitNode
	err     error // of the start
}

// NewSharedRabbitMQ starts nothing yet.
func NewSharedRabbitMQ(opts ...RabbitMQOption) *SharedRabbitMQ {
	return &SharedRabbitMQ{opts: opts}
}

// Broker returns the node, skipping or failing the test as [RabbitMQ] does. Use
// client ids and topics of your own in every test; who stops the node stops it
// for all.
func (s *SharedRabbitMQ) Broker(tb testing.TB) *RabbitMQBroker {
	tb.Helper()
	needRabbitMQ(tb)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started, s.err = true, s.start()
	}
	if s.err != nil {
		tb.Fatalf("mqtttest: rabbitmq: %v", s.err)
	}
	b := &RabbitMQBroker{tb: tb, node: s.node}
	tb.Cleanup(b.showLog)
	return b
}

func (s *SharedRabbitMQ) start() (err error) {
	if s.dir, err = os.MkdirTemp("", "mqtttest-rabbitmq-"); err != nil {
		return err
	}
	if s.node, err = newRabbitNode(s.dir, s.opts); err != nil {
		return err
	}
	return s.node.startOnFreePorts()
}

// Close stops the node, if it was started, and removes its data.
func (s *SharedRabbitMQ) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.node != nil {
		err = s.node.close()
	}
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	s.node, s.dir, s.started = nil, "", false
	return err
}

// Main wraps m so that the node is closed when the tests have run. What it
// returns fits os.Exit(….Run()) and leak checkers that take a *testing.M.
func (s *SharedRabbitMQ) Main(m Runner) Runner { return sharedMain{m, s} }

// Runner is what TestMain uses of *testing.M.
type Runner interface{ Run() int }

type sharedMain struct {
	tests  Runner
	shared *SharedRabbitMQ
}

func (m sharedMain) Run() int {
	code := m.tests.Run()
	if err := m.shared.Close(); err != nil {
		_, _ = os.Stderr.WriteString("mqtttest: rabbitmq: " + err.Error() + "\n")
		return max(code, 1)
	}
	return code
}

// URL implements [Broker].
func (b *RabbitMQBroker) URL() string { return loopbackURL("mqtt", b.node.ports.mqtt, "") }

// Features implements [Broker].
func (b *RabbitMQBroker) Features() Features {
	return Features{Name: "rabbitmq", Retained: true, PersistsOverRestart: true, MaxInflight: 10}
}

// Stop implements [Broker].
func (b *RabbitMQBroker) Stop() {
	b.tb.Helper()
	b.check(b.node.end(sigTerminate))
}

// Kill ends the node with SIGKILL and waits.
func (b *RabbitMQBroker) Kill() {
	b.tb.Helper()
	b.check(b.node.end(os.Kill))
}

// Start implements [Broker].
func (b *RabbitMQBroker) Start() {
	b.tb.Helper()
	b.check(b.node.start())
}

// Pause stops the node in its tracks (SIGSTOP).
func (b *RabbitMQBroker) Pause() {
	b.tb.Helper()
	b.check(b.node.server.signal(sigPause))
}

// Resume lets a paused node go on.
func (b *RabbitMQBroker) Resume() {
	b.tb.Helper()
	b.check(b.node.server.signal(sigResume))
}

// Control runs rabbitmqctl on the node, to add users, permissions and the like. The
// test fails when that fails.
func (b *RabbitMQBroker) Control(args ...string) {
	b.tb.Helper()
	b.check(b.node.control(b.tb.Context(), args))
}

// Log returns the end of what the node printed.
func (b *RabbitMQBroker) Log() string { return b.node.server.log.String() }

func (b *RabbitMQBroker) check(err error) {
	b.tb.Helper()
	if err != nil {
		b.tb.Errorf("mqtttest: rabbitmq: %v", err)
	}
}

func (b *RabbitMQBroker) showLog() {
	if b.tb.Failed() {
		b.tb.Logf("log of rabbitmq:\n%s", b.Log())
	}
}
