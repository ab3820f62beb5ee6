package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// notes are what a hook recorded.
type notes struct {
	mu   sync.Mutex
	seen []string
}

// spy is a hook that records every call.
type spy struct{ notes }

func (s *notes) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprintf(format, args...))
}

func (s *notes) saw(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.seen, what)
}

func (s *spy) OnPublish(i event.PublishInfo) {
	s.note("publish %s %d %t %d %t %t", i.Topic, i.QoS, i.Retain, i.Size, i.Duration > 0, i.Err == nil)
}

func (s *spy) OnHandle(i event.HandleInfo) {
	s.note("handle %s %s %d %t", i.Filter, i.Topic, i.Attempt, i.Err == nil)
}

func (s *spy) OnRetry(i event.RetryInfo) { s.note("retry %s %d %t", i.Topic, i.Attempt, i.After > 0) }

func (s *spy) OnDeadLetter(i event.DeadLetterInfo) {
	s.note("dead letter %s %s %d %t %v", i.Topic, strings.Replace(i.Destination, i.ID[max(0, len(i.ID)-2):]+"/"+i.ID, "ID", 1), i.Attempt, i.ID != "", i.Err)
}

func (s *spy) OnConnectAttempt(i event.ConnectAttemptInfo) {
	s.note("connect %s %t", strings.TrimPrefix(i.ClientID, "spy"), i.Err == nil)
}

func (s *spy) OnConnectionLost(i event.ConnectionLostInfo) { s.note("disconnect %t", i.Err != nil) }

func (s *spy) OnSubscribe(i event.SubscribeInfo) {
	s.note("subscribe %s %d %t", i.Filter, i.Granted, i.Err == nil)
}

func (s *spy) OnUnhandled(i event.UnhandledInfo) {
	s.note("drop %t %t", i.QueueFull > 0, i.Unmatched > 0)
}

// bad panics.
type bad struct{}

func (bad) OnPublish(event.PublishInfo) { panic("hook") }

func TestHooks(t *testing.T) {
	t.Parallel()
	server := mqtttest.Mosquitto(t, mqtttest.WithACL("topic readwrite #", "topic deny refused"))
	proxy := mqtttest.NewProxy(t, server.URL())
	s := new(spy)
	b, out := logged(t, proxy.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("spy"), mqttbroker.WithHooks(s), mqttbroker.WithHooks(bad{}))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	fail := errors.New("fail")
	_, err := b.Subscribe("in/+", func(_ context.Context, e broker.Event) error {
		if e.Topic() == "in/bad" {
			return fail
		}
		return nil
	}, nil, broker.WithSubscribeRetry(1, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "in/1", "x", mqttbroker.WithPublishQos(2), mqttbroker.WithPublishRetained(true))
	publish(t, b, "in/2", "x", broker.WithPublishAsync(nil))
	publish(t, b, "in/bad", "x")
	_ = b.Publish(t.Context(), "in/#", broker.NewMessage("x"))
	for _, what := range []string{
		"connect -pub true", "connect  true", "subscribe  1 true",
		"publish in/1 2 true 3 true true", "publish in/2 1 false 3 true true", "publish in/# 1 false 3 true false",
		"handle in/+ in/1 1 true", "handle in/+ in/bad 1 false", "handle in/+ in/bad 2 false", "retry in/bad 1 true",
		"dead letter in/bad dead-letter/service/ID 2 true fail",
	} {
		mqtttest.Eventually(t, patience, func() bool { return s.saw(what) }, "no %s", what)
	}
	proxy.Cut()
	mqtttest.Eventually(t, patience, func() bool { return s.saw("disconnect true") })
	if out.count("a hook panicked exception.message=hook") == 0 {
		t.Error("the panic of a hook is not in the log")
	}
}

func TestHookIsToldOfUnmatchedMessages(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	id := []broker.Option{mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithClientId("spy")}
	old := connected(t, url, id...)
	subscribe(t, old, "gone")
	if err := old.Disconnect(); err != nil {
		t.Fatal(err)
	}
	publish(t, connected(t, url), "gone", "x")
	s := new(spy)
	b := open(t, url, append(id, mqttbroker.WithHooks(s), mqttbroker.WithUnmatched(0, event.UnmatchedDrop))...)
	subscribe(t, b, "other")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { return s.saw("drop false true") })
}

func TestNoHooks(t *testing.T) {
	t.Parallel()
	for _, h := range []any{nil, "text", func() {}, struct{}{}} {
		b := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithHooks(h, new(spy)))
		wantReason(t, b.Init(), event.ReasonBadRequest, 400)
	}
}
