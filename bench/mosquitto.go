package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// mosquitto is a process with its own configuration: no bounds on queues, nothing on
// disk.
type mosquitto struct {
	host string
	dir  string
	cmd  *exec.Cmd
}

const mosquittoConfig = `listener %s 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 0
set_tcp_nodelay true
log_dest none
`

var errNoMosquitto = errors.New("mosquitto is not installed")

func startMosquitto() (*mosquitto, error) {
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		program = "/usr/sbin/mosquitto"
		if _, err := os.Stat(program); err != nil {
			return nil, errNoMosquitto
		}
	}
	host, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-mosquitto-")
	if err != nil {
		return nil, err
	}
	m := &mosquitto{host: host, dir: dir}
	_, port, _ := net.SplitHostPort(host)
	config := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, mosquittoConfig, port), 0o600); err != nil {
		m.stop()
		return nil, err
	}
	cmd := exec.Command(program, "-c", config)
	if err := cmd.Start(); err != nil {
		m.stop()
		return nil, err
	}
	m.cmd = cmd
	if err := m.awaitListener(); err != nil {
		m.stop()
		return nil, err
	}
	return m, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (m *mosquitto) awaitListener() error {
	for range 100 {
		nc, err := net.Dial("tcp", m.host)
		if err == nil {
			return nc.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("mosquitto does not listen")
}

func (m *mosquitto) stop() {
	if m.cmd != nil {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	}
	_ = os.RemoveAll(m.dir)
}
