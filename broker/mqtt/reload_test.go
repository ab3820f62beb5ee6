package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A reload changes the login, the number of handlers and the retry policy while
// messages flow, and no message is lost. A setting that cannot change is reported, and
// an invalid value changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	var password atomic.Pointer[string]
	first, second := "first", "second"
	password.Store(&first)
	url := mqtttest.InProcess(t, testbroker.WithAuthentication(func(_, _, given string) byte {
		if given != *password.Load() {
			return 0x86
		}
		return 0
	})).URL()
	c := &v1.Settings{
		Connection: &v1.Connection{Addresses: []string{url}, ClientId: "reloads", Username: "ann", Password: first, Protocol: "5"},
		Subscriber: &v1.Subscriber{Concurrency: 1, Retry: &v1.Retry{MaxAttempts: 2, MinBackoff: durationpb.New(time.Millisecond)}},
	}
	b, out := logged(t, url, mqttbroker.WithProtocol(""), mqttbroker.WithConnectionConfig(c.Connection), mqttbroker.WithSubscriberConfig(c.Subscriber))
	var running, attempts, handled atomic.Int64
	var seen sync.Map
	release := make(chan struct{})
	_, err := b.Subscribe("reload/#", func(_ context.Context, e broker.Event) error {
		switch e.Topic() {
		case "reload/poison":
			attempts.Add(1)
			return kerrors.InternalServer("POISON", "not today")
		case "reload/load":
			if _, again := seen.LoadOrStore(string(e.Message().Body.([]byte)), true); !again {
				handled.Add(1) // a message may be delivered again by the next connection
			}
			return nil
		}
		running.Add(1)
		defer running.Add(-1)
		<-release
		return nil
	}, nil, broker.WithSubscribeContext(t.Context()))
	if err == nil {
		err = b.Connect()
	}
	if err != nil {
		t.Fatal(err)
	}
	poison := func(want int) {
		t.Helper()
		attempts.Store(0)
		before := out.count("dead-lettered")
		publish(t, b, "reload/poison", 1)
		advances(t, 1, func() int { return min(1, out.count("dead-lettered")-before) }, func() any { return out })
		if n := attempts.Load(); n != int64(want) {
			t.Errorf("%d attempts, want %d", n, want)
		}
	}
	poison(2)
	next := proto.CloneOf(c)
	next.Subscriber.Concurrency, next.Subscriber.Retry.MaxAttempts = 4, 5
	if err := b.Reload(next); err != nil {
		t.Fatal(err)
	}
	poison(5)
	for i := range 4 {
		publish(t, b, "reload/slow/"+string(rune('a'+i)), i)
	}
	advances(t, 3, func() int { return int(running.Load()) }, func() any { return b.Health() }) // one origin may use all workers except one
	close(release)

	wrong := proto.CloneOf(next)
	wrong.Subscriber.RetryBudget, wrong.Subscriber.Concurrency, wrong.Connection.Password = durationpb.New(-time.Second), 7, "third"
	var invalid *event.SettingError
	if err := b.Reload(wrong); !errors.As(err, &invalid) || invalid.Key != "retry_budget" {
		t.Errorf("%v, want the key of the invalid value", err)
	}

	sent := int64(0)
	load := func() {
		for range 200 {
			publish(t, b, "reload/load", sent)
			sent++
		}
	}
	load()
	password.Store(&second)
	moved := proto.CloneOf(next)
	moved.Connection.Password, moved.Connection.ClientId, moved.Subscriber.Queue = second, "another", 5
	err = b.Reload(moved)
	for _, key := range []string{"connection.client_id", "subscriber.queue"} {
		if err == nil || !strings.Contains(err.Error(), key+": needs a restart") {
			t.Errorf("%v, want it to name %s", err, key)
		}
	}
	if err != nil && strings.Contains(err.Error(), "password") {
		t.Error(err)
	}
	load()
	advances(t, 4, func() int { return out.count("mqtt: connected ") }, func() any { return out })
	load()
	advances(t, int(sent), func() int { return int(handled.Load()) }, func() any { return b.Health() })
	if err := b.Reload(moved); err != nil {
		t.Errorf("the same configuration again: %v", err)
	}
	if h := b.Health(); h.LastLoss != nil || h.SessionsLost != 0 {
		t.Errorf("lost %v, %d sessions", h.LastLoss, h.SessionsLost)
	}
}
