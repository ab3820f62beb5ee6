package mqtttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/program"
)

const (
	rabbitStartTimeout = 3 * time.Minute
	rabbitStopTimeout  = 2 * time.Minute
)

// rabbitNode is a RabbitMQ server and the port mapper that Erlang nodes need.
type rabbitNode struct {
	dir          string
	config       []string
	ports        rabbitPorts
	reserved     []*port.Reserved
	server, epmd *program.Process
}

type rabbitPorts struct{ mqtt, distribution, epmd int }

// rabbitPath returns the path of the server script itself: the script that Debian installs in
// sbin changes the user.
func rabbitPath() string {
	return program.LookPath("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
}

func epmdPath() string { return program.LookPath("epmd") }

func newRabbitNode(dir string, opts []RabbitMQOption) (*rabbitNode, error) {
	var s settings
	for _, opt := range opts {
		opt.rabbitMQ(&s)
	}
	n := &rabbitNode{dir: dir, config: s.config}
	return n, n.write("home/.erlang.cookie", "mqtttest\n", 0o400) // must be there before the first start
}

func (n *rabbitNode) file(name string) string { return filepath.Join(n.dir, name) }

func (n *rabbitNode) write(name, content string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(n.file(name)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(n.file(name), []byte(content), mode)
}

// configure chooses ports and writes the configuration.
func (n *rabbitNode) configure() error {
	for _, number := range []*int{&n.ports.mqtt, &n.ports.distribution, &n.ports.epmd} {
		reserved, err := port.Reserve()
		if err != nil {
			return err
		}
		n.reserved, *number = append(n.reserved, reserved), reserved.Number()
	}
	n.epmd = &program.Process{
		Path: epmdPath(),
		Args: []string{"-port", strconv.Itoa(n.ports.epmd), "-address", "127.0.0.1"},
		Dir:  n.dir,
	}
	n.server = &program.Process{Path: rabbitPath(), Dir: n.dir, Env: n.environment()}
	lines := append([]string{
		"listeners.tcp = none",
		fmt.Sprintf("mqtt.listeners.tcp.1 = 127.0.0.1:%d", n.ports.mqtt),
		"mqtt.allow_anonymous = true",
		"log.console = true",
		"log.console.level = info",
		"log.file = false",
	}, n.config...)
	return errors.Join(
		n.write("rabbitmq.conf", strings.Join(lines, "\n")+"\n", 0o600),
		n.write("enabled_plugins", "[rabbitmq_mqtt].\n", 0o600),
	)
}

func (n *rabbitNode) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + n.file("home"),
		"LANG=C.UTF-8",
		"RUNNING_UNDER_SYSTEMD=true", // the script becomes the server, so that signals reach it
		"RABBITMQ_NODENAME=mqtttest@localhost",
		"RABBITMQ_MNESIA_BASE=" + n.file("mnesia"),
		"RABBITMQ_LOG_BASE=" + n.file("log"),
		"RABBITMQ_CONFIG_FILE=" + n.file("rabbitmq.conf"),
		"RABBITMQ_CONF_ENV_FILE=" + n.file("rabbitmq-env.conf"), // not there: nothing of the system's
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + n.file("enabled_plugins"),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", n.ports.distribution),
		fmt.Sprintf("ERL_EPMD_PORT=%d", n.ports.epmd),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
	}
}

// startOnFreePorts chooses ports and starts the node, with new ports if the node exits because
// one of them was taken.
func (n *rabbitNode) startOnFreePorts() error {
	var errs []error
	for range startAttempts {
		if err := n.configure(); err != nil {
			return err
		}
		err := n.start()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%w\n%s", err, n.server.Log.String()))
		if err := n.close(); err != nil {
			return errors.Join(append(errs, err)...)
		}
		if !errors.Is(err, program.ErrNotRunning) {
			break
		}
	}
	return errors.Join(errs...)
}

// start returns once the node answers a CONNECT.
func (n *rabbitNode) start() error {
	if n.epmd.Alive() != nil {
		if err := n.epmd.Start(); err != nil {
			return err
		}
		if err := program.Poll(startTimeout, func() error { return program.Ready(n.epmd, n.ports.epmd, program.Accepts) }); err != nil {
			return err
		}
	}
	if err := n.server.Start(); err != nil {
		return err
	}
	return program.Poll(rabbitStartTimeout, func() error { return program.Ready(n.server, n.ports.mqtt, program.Answers) })
}

// control runs rabbitmqctl in the environment of the node.
func (n *rabbitNode) control(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, rabbitStartTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program.LookPath("/usr/lib/rabbitmq/bin/rabbitmqctl", "rabbitmqctl"), args...)
	cmd.Dir, cmd.Env = n.dir, n.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rabbitmqctl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// end stops the server, but not the port mapper.
func (n *rabbitNode) end(sig os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), rabbitStopTimeout)
	defer cancel()
	return n.server.End(ctx, sig)
}

// close stops everything.
func (n *rabbitNode) close() error {
	defer n.release()
	if n.server == nil {
		return nil
	}
	_ = n.server.Signal(program.SigResume) // a paused process cannot end
	err := n.end(program.SigTerminate)
	ctx, cancel := context.WithTimeout(context.Background(), program.StopTimeout)
	defer cancel()
	return errors.Join(err, n.epmd.End(ctx, os.Kill))
}

func (n *rabbitNode) release() {
	for _, r := range n.reserved {
		r.Release()
	}
	n.reserved = nil
}
