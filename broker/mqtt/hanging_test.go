package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// trap hangs in its first call until let is closed.
type trap struct {
	armed atomic.Bool
	hangs chan struct{} // closed when the first call hangs
	let   chan struct{}
	once  sync.Once
}

func newTrap() *trap {
	tr := &trap{hangs: make(chan struct{}), let: make(chan struct{})}
	tr.armed.Store(true)
	return tr
}

func (tr *trap) hang() {
	if tr.armed.CompareAndSwap(true, false) {
		close(tr.hangs)
		<-tr.let
	}
}

func (tr *trap) release() {
	tr.once.Do(func() { close(tr.let) })
}

// Hooks, of one method each.
type (
	hangPublish    struct{ *trap }
	hangHandle     struct{ *trap }
	hangRetry      struct{ *trap }
	hangLetter     struct{ *trap }
	hangConnect    struct{ *trap }
	hangDisconnect struct{ *trap }
	hangSubscribe  struct{ *trap }
	hangDuplicate  struct{ *trap }
	hangOutbox     struct{ *trap }
)

func (h hangPublish) OnPublish(i event.PublishInfo) {
	if i.Topic == "other/bad" {
		h.hang()
	}
}
func (h hangHandle) OnHandle(event.HandleInfo)                     { h.hang() }
func (h hangRetry) OnRetry(event.RetryInfo)                        { h.hang() }
func (h hangLetter) OnDeadLetter(event.DeadLetterInfo)             { h.hang() }
func (h hangConnect) OnConnectAttempt(event.ConnectAttemptInfo)    { h.hang() }
func (h hangDisconnect) OnConnectionLost(event.ConnectionLostInfo) { h.hang() }
func (h hangSubscribe) OnSubscribe(event.SubscribeInfo)            { h.hang() }
func (h hangDuplicate) OnDuplicate(event.DuplicateInfo)            { h.hang() }
func (h hangOutbox) OnOutbox(event.OutboxInfo)                     { h.hang() }

// hanging is one row: the options that contain the trap, and the function that makes it
// hang.
type hanging struct {
	opts    func(*trap) []broker.Option
	trigger func(*testing.T, *hangingClient)
}

type hangingClient struct {
	*mqttbroker.Broker
	trap  *trap
	proxy *mqtttest.Proxy
	url   string
	store outbox.Store
	got   <-chan seen
}

func hanger(h func(*trap) any) func(*trap) []broker.Option {
	return func(tr *trap) []broker.Option { return []broker.Option{mqttbroker.WithHooks(h(tr))} }
}

func badMessage(t *testing.T, c *hangingClient) { publishDirect(t, c, "bad") }
func cutOff(_ *testing.T, c *hangingClient)     { c.proxy.Cut() }
func byItself(_ *testing.T, _ *hangingClient)   {}

func publishDirect(t *testing.T, c *hangingClient, topic string) {
	t.Helper()
	publish(t, connected(t, c.url, mqttbroker.WithProtocol("5")), topic, "x", mqttbroker.WithCallOptions(event.ID("id")), mqttbroker.WithPublishQos(1))
}

var hangings = map[string]hanging{
	"ConnectAttemptHook": {hanger(func(tr *trap) any { return hangConnect{tr} }), byItself},
	"SubscribeHook":      {hanger(func(tr *trap) any { return hangSubscribe{tr} }), byItself},
	"ConnectionLostHook": {hanger(func(tr *trap) any { return hangDisconnect{tr} }), cutOff},
	"HandleHook":         {hanger(func(tr *trap) any { return hangHandle{tr} }), badMessage},
	"RetryHook":          {hanger(func(tr *trap) any { return hangRetry{tr} }), badMessage},
	"DeadLetterHook":     {hanger(func(tr *trap) any { return hangLetter{tr} }), badMessage},
	"DuplicateHook": {hanger(func(tr *trap) any { return hangDuplicate{tr} }), func(t *testing.T, c *hangingClient) {
		publishDirect(t, c, "twice")
		publishDirect(t, c, "twice")
	}},
	"OutboxHook": {hanger(func(tr *trap) any { return hangOutbox{tr} }), func(t *testing.T, c *hangingClient) {
		publish(t, c.Broker, "forbidden", "x") // NOT_AUTHORIZED
	}},
	"PublishHook of PublishAsync": {hanger(func(tr *trap) any { return hangPublish{tr} }), func(t *testing.T, c *hangingClient) {
		publish(t, c.Broker, "other/bad", "x", mqttbroker.WithCallOptions(event.SkipOutbox()), broker.WithPublishAsync(nil))
	}},
	"callback of PublishAsync": {nil, func(t *testing.T, c *hangingClient) {
		for range 300 { // more than may be in flight
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := c.Publish(ctx, "other/a", broker.NewMessage("x"), mqttbroker.WithCallOptions(event.SkipOutbox()),
				broker.WithPublishAsync(func(error) { c.trap.hang() }))
			cancel()
			if err != nil {
				break
			}
		}
	}},
	"WithOnConnect": {func(tr *trap) []broker.Option { return []broker.Option{mqttbroker.WithOnConnect(tr.hang)} }, byItself},
	"WithOnDisconnect": {func(tr *trap) []broker.Option {
		return []broker.Option{mqttbroker.WithOnDisconnect(func(error) { tr.hang() })}
	}, cutOff},
	"WatchSubscriptions": {nil, func(_ *testing.T, c *hangingClient) {
		c.Broker.WatchSubscriptions(func(event.SubscriptionState) { c.trap.hang() })
	}},
}

// A user's callback that hangs delays only its own subject.
func TestHangingCallbackHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	server := mqtttest.Mosquitto(t, mqtttest.WithACL("topic readwrite #", "topic deny forbidden"), mqtttest.WithConfig("max_queued_messages 100000"))
	for name, row := range hangings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &hangingClient{trap: newTrap(), proxy: mqtttest.NewProxy(t, server.URL()), url: server.URL(), store: memory(t, 0)}
			witness := new(spy)
			opts := []broker.Option{
				mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("hang-" + fmt.Sprintf("%x", name)),
				mqttbroker.WithOutbox(c.store), mqttbroker.WithDedup(memoryWindow(t)),
				mqttbroker.WithRetainedDeadLetters(),
			}
			if row.opts != nil {
				opts = append(opts, row.opts(c.trap)...)
			}
			b, out := logged(t, c.proxy.URL(), append(opts, mqttbroker.WithHooks(witness))...)
			t.Cleanup(c.trap.release) // runs before the Disconnect that logged registered
			c.Broker = b
			prefix := "ok-" + fmt.Sprintf("%x", name)
			c.got = subscribe(t, b, prefix+"/+")
			for _, f := range []string{"bad", "twice"} {
				_, err := b.Subscribe(f, func(_ context.Context, e broker.Event) error {
					if e.Topic() == "bad" {
						return errors.New("fails")
					}
					return nil
				}, nil, broker.WithSubscribeRetry(1, time.Millisecond))
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			row.trigger(t, c)
			receive(t, c.trap.hangs)
			// Publishing, directly and through the outbox, handling, the connection and
			// the other hooks continue.
			for round := range 2 {
				publish(t, b, fmt.Sprintf("%s/outbox%d", prefix, round), "x")
				publish(t, b, fmt.Sprintf("%s/direct%d", prefix, round), "x", mqttbroker.WithCallOptions(event.SkipOutbox()))
				seenTopics := map[string]bool{}
				for len(seenTopics) < 2 {
					seenTopics[receive(t, c.got).topic] = true
				}
				if round > 0 {
					break
				}
				before := out.count("mqtt: connected ")
				c.proxy.Cut()
				mqtttest.Eventually(t, patience, func() error {
					if !b.Health().Ready || out.count("mqtt: connected ") <= before || !witness.saw("disconnect true") {
						return fmt.Errorf("ready %t, %d lines about connections, want more than %d, another hook was told %t",
							b.Health().Ready, out.count("mqtt: connected "), before, witness.saw("disconnect true"))
					}
					return nil
				})
				if _, err := b.Subscribe(prefix+"2", nothing, nil); err != nil {
					t.Error(err)
				}
			}
			left := 0
			if name == "OutboxHook" {
				left = 1 // the forbidden message
			}
			wantDepth(t, c.store, left)
			stop, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			began := time.Now()
			_ = b.Stop(stop)
			if took := time.Since(began); took > patience/2 {
				t.Errorf("Stop took %v with a context of 2 s", took)
			}
		})
	}
}

func memoryWindow(t *testing.T) dedup.Window {
	t.Helper()
	w, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}
