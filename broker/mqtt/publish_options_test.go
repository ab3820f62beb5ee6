package mqtt_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

type contextKey struct{}

// Generic options may replace the context that contains the MQTT options.
func TestPublishOptionsSurviveReplacedContext(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	sent := make(chan mqtttest.Observed, 10)
	proxy.Observe(func(o mqtttest.Observed) {
		if o.Type() == mqtttest.TypePublish && o.Direction == mqtttest.ToBroker {
			sent <- o
		}
	})
	b := connected(t, proxy.URL())
	bundle := func(o *broker.PublishOptions) {
		broker.WithPublishContext(t.Context())(o)
		mqttbroker.WithPublishQos(2)(o)
	}
	tests := map[string]struct {
		opts   []broker.PublishOption
		qos    byte
		retain bool
	}{
		"default":         {nil, 1, false},
		"QoS 0":           {[]broker.PublishOption{mqttbroker.WithPublishQos(0)}, 0, false},
		"replaced after":  {[]broker.PublishOption{mqttbroker.WithPublishQos(2), broker.WithPublishContext(t.Context())}, 2, false},
		"replaced before": {[]broker.PublishOption{broker.WithPublishContext(t.Context()), mqttbroker.WithPublishQos(2)}, 2, false},
		"replaced by nil": {[]broker.PublishOption{mqttbroker.WithPublishQos(0), broker.WithPublishContext(nil), nil}, 0, false}, //nolint:staticcheck // the case
		"value after":     {[]broker.PublishOption{mqttbroker.WithPublishRetained(true), broker.PublishContextWithValue(contextKey{}, 1)}, 1, true},
		"bundle":          {[]broker.PublishOption{mqttbroker.WithPublishRetained(true), bundle}, 2, true},
		"last wins":       {[]broker.PublishOption{bundle, mqttbroker.WithPublishQos(1)}, 1, false},
		"acks 0":          {[]broker.PublishOption{broker.WithPublishRequiredAcks(0)}, 0, false},
		"acks 2":          {[]broker.PublishOption{broker.WithPublishRequiredAcks(2)}, 2, false},
		"acks all":        {[]broker.PublishOption{broker.WithPublishRequiredAcks(-1)}, 1, false},
		"QoS over acks":   {[]broker.PublishOption{mqttbroker.WithPublishQos(2), broker.WithPublishRequiredAcks(0)}, 2, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			publish(t, b, "a", "x", tt.opts...)
			if p := receive(t, sent); p.QoS() != tt.qos || p.Retain() != tt.retain {
				t.Errorf("got QoS %d, retain %t; want %d and %t", p.QoS(), p.Retain(), tt.qos, tt.retain)
			}
		})
	}
}

func TestPublishAsync(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	lost := make(chan error, 10)
	b := connected(t, proxy.URL(), mqttbroker.WithOnDisconnect(func(err error) { lost <- err }))
	outcomes := make(chan error, 200)
	async := broker.WithPublishAsync(func(err error) { outcomes <- err })

	t.Run("acknowledged", func(t *testing.T) {
		for range 100 {
			publish(t, b, "a", "x", async)
		}
		for range 100 {
			if err := receive(t, outcomes); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("not before the PUBACK", func(t *testing.T) {
		acked := atomic.Bool{}
		proxy.Observe(func(o mqtttest.Observed) {
			if o.Type() == mqtttest.TypePuback {
				acked.Store(true)
			}
		})
		defer proxy.Observe(nil)
		publish(t, b, "a", "x", broker.WithPublishAsync(func(err error) {
			if !acked.Load() {
				err = errors.New("called before the PUBACK")
			}
			outcomes <- err
		}))
		if err := receive(t, outcomes); err != nil {
			t.Error(err)
		}
	})
	t.Run("timeout", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		publish(t, b, "a", "x", async, broker.WithPublishTimeout(50*time.Millisecond))
		if e := wantReason(t, receive(t, outcomes), event.ReasonTimeout, 504); !e.MayHaveBeenSent || e.Topic != "a" {
			t.Errorf("topic %q, may have been sent %t", e.Topic, e.MayHaveBeenSent)
		}
	})
	t.Run("the caller's context may end", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		if err := b.Publish(ctx, "a", broker.NewMessage("x"), async); err != nil {
			t.Fatal(err)
		}
		cancel()
		proxy.Cut() // acknowledged on the next connection
		wantReason(t, receive(t, lost), event.ReasonNetwork, 503)
		if err := receive(t, outcomes); err != nil {
			t.Error(err)
		}
	})
	t.Run("without a callback", func(t *testing.T) {
		publish(t, b, "a", "x", broker.WithPublishAsync(nil))
	})
	t.Run("panicking callback", func(t *testing.T) {
		publish(t, b, "a", "x", broker.WithPublishAsync(func(error) { panic("callback") }))
		publish(t, b, "a", "x", broker.WithPublishCallback(func(error) { panic("callback") }))
	})
	t.Run("publish from the callback", func(t *testing.T) {
		publish(t, b, "a", "x", broker.WithPublishAsync(func(error) {
			outcomes <- b.Publish(within(t, patience), "a", broker.NewMessage("x"))
		}))
		if err := receive(t, outcomes); err != nil {
			t.Error(err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		err := b.Publish(t.Context(), "a/#", broker.NewMessage("x"), async)
		wantReason(t, err, event.ReasonBadTopic, 400)
	})
	t.Run("down", func(t *testing.T) {
		proxy.Refuse(true)
		proxy.Cut()
		receive(t, lost)
		err := b.Publish(t.Context(), "a", broker.NewMessage("x"), async, broker.WithPublishTimeout(200*time.Millisecond))
		wantReason(t, err, event.ReasonNotConnected, 503)
		proxy.Refuse(false)
	})
	if len(outcomes) > 0 {
		t.Errorf("%d callbacks too many: %v", len(outcomes), <-outcomes)
	}
}

func TestPublishCallbackOfSynchronousPublish(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	var got []error
	publish(t, b, "a", "x", broker.WithPublishCallback(func(err error) { got = append(got, err) }))
	if len(got) != 1 || got[0] != nil {
		t.Errorf("got %v", got)
	}
}

// If a middleware or an invalid option prevents a publish, its callback is still called
// once.
func TestPublishCallbackWithoutSending(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	no := errors.New("no")
	returns := func(err error) broker.Option {
		return broker.WithPublishMiddlewares(func(broker.PublishHandler) broker.PublishHandler {
			return func(context.Context, string, *broker.Message, ...broker.PublishOption) error { return err }
		})
	}
	for name, tt := range map[string]struct {
		option broker.Option
		async  bool
		want   int
	}{
		"middleware": {returns(no), false, 1}, "middleware, async": {returns(no), true, 0}, "middleware takes it, async": {returns(nil), true, 1},
		"options": {mqttbroker.WithProtocol("7"), false, 1}, "options, async": {mqttbroker.WithProtocol("7"), true, 0},
	} {
		b, called := open(t, url, tt.option), 0
		count := broker.WithPublishCallback(func(error) { called++; panic("callback") })
		if tt.async {
			count = broker.WithPublishAsync(func(error) { called++ })
		}
		err := b.Publish(within(t, patience), "a", broker.NewMessage("x"), count)
		if called != tt.want {
			t.Errorf("%s: %v: callback called %d times, want %d", name, err, called, tt.want)
		}
	}
}

func TestPublishRetries(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := connected(t, proxy.URL(), mqttbroker.WithPublisherConfig(publisherTimeout(100*time.Millisecond)))
	t.Cleanup(func() { proxy.Cut() })
	msg := broker.NewMessage("x")

	t.Run("second attempt", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		if err := b.Publish(context.Background(), "a", msg, broker.WithPublishRetries(3)); err != nil {
			t.Error(err)
		}
	})
	t.Run("used up", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 2)
		err := b.Publish(context.Background(), "a", msg, broker.WithPublishRetries(1))
		wantReason(t, err, event.ReasonTimeout, 504)
	})
	t.Run("context ends between attempts", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		err := b.Publish(within(t, 2*time.Second), "a", msg, broker.WithPublishRetries(1000))
		if e := wantReason(t, err, event.ReasonTimeout, 504); !e.MayHaveBeenSent {
			t.Error("may have been sent is not set")
		}
	})
	t.Run("QoS 2 is not sent twice", func(t *testing.T) {
		before := proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePublish)
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePubrec, 1)
		err := b.Publish(context.Background(), "a", msg, broker.WithPublishRetries(3), mqttbroker.WithPublishQos(2))
		wantReason(t, err, event.ReasonTimeout, 504)
		if n := proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePublish) - before; n != 1 {
			t.Errorf("%d PUBLISH, want 1", n)
		}
	})
	t.Run("bad input is not retried", func(t *testing.T) {
		started := time.Now()
		err := b.Publish(within(t, patience), "#", msg, broker.WithPublishRetries(1<<20))
		wantReason(t, err, event.ReasonBadTopic, 400)
		if took := time.Since(started); took > patience/2 {
			t.Errorf("took %v", took)
		}
	})
}

func TestPublishMiddleware(t *testing.T) {
	t.Parallel()
	b := open(t, mqtttest.InProcess(t).URL(), broker.WithPublishMiddlewares(nil,
		func(next broker.PublishHandler) broker.PublishHandler {
			return func(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
				if topic == "drop" {
					msg = nil
				}
				return next(ctx, "prefix/"+topic, msg, append(opts, mqttbroker.WithPublishQos(0))...)
			}
		}))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	got := subscribe(t, b, "prefix/+")
	publish(t, b, "a", "x")
	if m := receive(t, got); m.topic != "prefix/a" {
		t.Errorf("topic %q", m.topic)
	}
	err := b.Publish(t.Context(), "drop", broker.NewMessage("x"))
	wantReason(t, err, event.ReasonBadRequest, 400)
}

// MQTT 3.1.1 cannot carry headers: that is logged once, never silent.
func TestHeadersAreNotSent(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL())
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "x")
	if n := out.count("headers are not sent"); n != 0 {
		t.Errorf("logged %d times without headers", n)
	}
	msg := broker.NewMessage("x", broker.WithHeader("k", "v"))
	for range 3 {
		if err := b.Publish(within(t, patience), "a", msg); err != nil {
			t.Fatal(err)
		}
	}
	if n := out.count("headers are not sent"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}
