package client

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// lines is a logger that keeps everything except details.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) log(level, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level != "DEBUG" {
		l.all = append(l.all, level+" "+text)
	}
}

func (l *lines) with(part string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// A broker that is down for several attempts is logged as one warning.
func TestOneWarningAnOutage(t *testing.T) {
	t.Parallel()
	l, failed := new(lines), make(chan struct{}, 1000)
	c := client(t, nowhere(t), func(c *Config) {
		c.Logger = textLog(l.log)
		c.Hooks.Connected = func(event.ConnectAttemptInfo) { failed <- struct{}{} }
	})
	if _, err := c.Subscribe(t.Context(), on("a", ignore)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- c.Start(ctx) }()
	for range 10 {
		<-failed
	}
	cancel()
	<-ended
	if err := c.Stop(within(t, patience)); err != nil {
		t.Error(err)
	}
	if n := l.with("cannot connect"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, strings.Join(l.all, "\n"))
	}
}

func TestOutages(t *testing.T) {
	t.Parallel()
	o := make(outages)
	network := &event.Error{Op: "connect", Reason: event.ReasonNetwork}
	rights := &event.Error{Op: "connect", Reason: event.ReasonNotAuthorized}
	for i, step := range []struct {
		id   string
		err  error
		want bool
	}{
		{"a", network, true},
		{"a", network, false},
		{"b", network, true}, // another client
		{"a", rights, true},  // another reason
		{"a", rights, false},
		{"a", network, false},
	} {
		if got := o.failed(session.ConnectFailed{ClientID: step.id, Err: step.err}); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if _, n := o.ended("a"); n != 5 {
		t.Errorf("%d attempts, want 5", n)
	}
	if _, n := o.ended("a"); n != 0 {
		t.Errorf("%d attempts in no outage", n)
	}
	o.lost("a") // which is logged separately
	if got := o.failed(session.ConnectFailed{ClientID: "a", Err: network}); got != false {
		t.Errorf("behind a loss: %v", got)
	}
}

func TestWithoutAddress(t *testing.T) {
	t.Parallel()
	_, err := net.DialTimeout("tcp", strings.TrimPrefix(nowhere(t), "mqtt://"), time.Second)
	text := addressedError{&event.Error{Op: "connect", Reason: event.ReasonNetwork, Cause: fmt.Errorf("dial mqtt://h:1: %w", err)}, "mqtt://h:1"}.Error()
	if text != "network: connect: connection refused" {
		t.Errorf("%q", text)
	}
}
