//go:build !noembedded

package server

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func embeddedAt(addr string) *conf.Server {
	return &conf.Server{Embedded: &conf.Server_Embedded{Addr: addr}}
}

func TestConnectionFollowsTheInProcessBroker(t *testing.T) {
	t.Parallel()
	m := &conf.MQTT{Connection: &kratosmqttv1.Connection{ClientId: "me"}}
	e, cleanup, err := NewEmbedded(embeddedAt("127.0.0.1:0"), m, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := NewConnection(m, e)
	if err != nil {
		t.Fatal(err)
	}
	if len(connection.Addresses) != 1 || connection.Addresses[0] != e.URL() || connection.ClientId != "me" || connection.Protocol != "5" {
		t.Errorf("connection %v", connection)
	}
	if len(m.Connection.Addresses) != 0 {
		t.Error("the configuration was changed")
	}
	u, err := url.Parse(e.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	e.Drain(context.Background(), "me") // returns at once
	cleanup()
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		_ = conn.Close()
		t.Error("still listening after cleanup")
	}
}

func TestNoInProcessBrokerBesideAnother(t *testing.T) {
	t.Parallel()
	m := &conf.MQTT{Connection: &kratosmqttv1.Connection{Addresses: []string{"mqtt://broker.example"}}}
	e, cleanup, err := NewEmbedded(embeddedAt("127.0.0.1:0"), m, log.DefaultLogger)
	if e != nil || err != nil {
		t.Fatalf("got %v, %v", e, err)
	}
	defer cleanup()
	connection, err := NewConnection(m, e)
	if err != nil || connection.Addresses[0] != "mqtt://broker.example" {
		t.Errorf("got %v, %v", connection, err)
	}
	if e.URL() != "" {
		t.Errorf("URL %q", e.URL())
	}
	e.Drain(context.Background(), "me") // returns
}

func TestNoBrokerAtAll(t *testing.T) {
	t.Parallel()
	if _, err := NewConnection(nil, nil); err == nil || !strings.Contains(err.Error(), conf.EnvMQTTBroker) {
		t.Errorf("got %v", err)
	}
}

func TestInProcessBrokerStaysOnLoopback(t *testing.T) {
	t.Parallel()
	_, _, err := NewEmbedded(embeddedAt("0.0.0.0:0"), nil, log.DefaultLogger)
	if err == nil || !strings.Contains(err.Error(), "loopback") || !strings.Contains(err.Error(), conf.EnvMQTTAddr) {
		t.Errorf("got %v", err)
	}
}

func TestTakenPortOfTheInProcessBroker(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	_, _, err = NewEmbedded(embeddedAt(taken.Addr().String()), nil, log.DefaultLogger)
	wantTaken(t, err, port, conf.EnvMQTTAddr)
}

// Drain waits as long as the backlog shrinks, however long that takes.
func TestDrainWaitsForProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		e := &Embedded{queued: func(string) int { return max(0, 600-int(time.Since(began)/time.Second)*10) }}
		e.Drain(t.Context(), "me")
		if took := time.Since(began).Round(time.Second); took != time.Minute {
			t.Errorf("took %v, want the minute that the backlog takes", took)
		}
	})
}

func TestDrainWaitsUntilNothingIsQueued(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handledAfter, limit, want time.Duration
	}{
		"handled":        {300 * time.Millisecond, time.Minute, 320 * time.Millisecond},
		"never handled":  {time.Hour, time.Minute, drainStall},
		"the stop ends":  {time.Hour, time.Second, time.Second},
		"nothing queued": {0, time.Minute, 2 * drainPoll},
	} {
		synctest.Test(t, func(t *testing.T) {
			var queued atomic.Int64
			if test.handledAfter > 0 {
				queued.Store(3)
				timer := time.AfterFunc(test.handledAfter, func() { queued.Store(0) })
				defer timer.Stop()
			}
			e := &Embedded{queued: func(string) int { return int(queued.Load()) }}
			ctx, cancel := context.WithTimeout(t.Context(), test.limit)
			defer cancel()
			began := time.Now()
			e.Drain(ctx, "me")
			if took := time.Since(began).Round(2 * drainPoll); took != test.want {
				t.Errorf("%s: took %s, want %s", name, took, test.want)
			}
		})
	}
}
