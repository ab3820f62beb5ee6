package mqtttest

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

// RabbitMQBroker is a RabbitMQ node with its MQTT plugin. It supports MQTT 3.1.1 only, grants
// QoS 2 as 1, grants shared subscriptions but does not serve them, and loses retained messages
// that were published shortly before it stops.
type RabbitMQBroker struct {
	tb   testing.TB
	node *rabbitNode
}

var _ Broker = (*RabbitMQBroker)(nil)

// RabbitMQOption configures [RabbitMQ].
type RabbitMQOption interface{ rabbitMQ(*settings) }

type rabbitOption func(*settings)

func (o rabbitOption) rabbitMQ(s *settings) { o(s) }

// WithRabbitMQConfig appends lines to rabbitmq.conf, after those of this package.
func WithRabbitMQConfig(lines ...string) RabbitMQOption {
	return rabbitOption(func(s *settings) { s.config = append(s.config, lines...) })
}

// HaveRabbitMQ reports whether the RabbitMQ server and the port mapper of Erlang are
// installed.
func HaveRabbitMQ() bool { return rabbitPath() != "" && epmdPath() != "" }

// RabbitMQ starts a node for the test on free loopback ports, with its own home, cookie and
// data. It takes about ten seconds: tests that can share a node use [SharedRabbitMQ]. If the
// program is not installed, the test is skipped, or fails if the environment variable CI is
// "true".
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
		program.Missing(tb, "rabbitmq-server", "install the rabbitmq-server package of your system")
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

// NewSharedRabbitMQ returns a shared node that is not started yet.
func NewSharedRabbitMQ(opts ...RabbitMQOption) *SharedRabbitMQ {
	return &SharedRabbitMQ{opts: opts}
}

// Broker returns the node. It starts it on the first call, and skips or fails the test as
// [RabbitMQ] does. Use separate client ids and topics in every test. Stopping the node affects
// all tests.
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

// Main wraps m so that the node is closed after the tests. The result can be used as in
// os.Exit(….Run()), and by leak checkers that accept a *testing.M.
func (s *SharedRabbitMQ) Main(m Runner) Runner { return sharedMain{m, s} }

// Runner is the part of *testing.M that TestMain uses.
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
	b.check(b.node.end(program.SigTerminate))
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

// Pause stops the node (SIGSTOP).
func (b *RabbitMQBroker) Pause() {
	b.tb.Helper()
	b.check(b.node.server.Signal(program.SigPause))
}

// Resume continues a paused node.
func (b *RabbitMQBroker) Resume() {
	b.tb.Helper()
	b.check(b.node.server.Signal(program.SigResume))
}

// Control runs rabbitmqctl on the node, for example to add users and permissions. If it fails,
// the test fails.
func (b *RabbitMQBroker) Control(args ...string) {
	b.tb.Helper()
	b.check(b.node.control(b.tb.Context(), args))
}

// Log returns the end of the output of the node.
func (b *RabbitMQBroker) Log() string { return b.node.server.Log.String() }

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
