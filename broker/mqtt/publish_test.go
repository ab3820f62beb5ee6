package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// bomb is a codec that panics.
type bomb struct{}

func (bomb) Marshal(any) ([]byte, error)     { panic("marshal") }
func (bomb) Unmarshal([]byte, any) error     { panic("unmarshal") }
func (bomb) Name() string                    { return "bomb" }
func init()                                  { encoding.RegisterCodec(bomb{}) } //nolint:gochecknoinits // the registry is global
func codec(name string) broker.PublishOption { return broker.WithPublishBodyCodec(name) }

func TestPublishRefusesBadInput(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := connected(t, proxy.URL(), mqttbroker.WithPublisherConfig(&v1.Publisher{MaxPayload: 1000}))
	ctx := within(t, patience)
	ok := broker.NewMessage("x")
	tests := map[string]struct {
		ctx    context.Context
		topic  string
		msg    *broker.Message
		opts   []broker.PublishOption
		reason event.Reason
		code   int
	}{
		"nil context":       {nil, "a", ok, nil, event.ReasonBadRequest, 400},
		"nil message":       {ctx, "a", nil, nil, event.ReasonBadRequest, 400},
		"nil body":          {ctx, "a", broker.NewMessage(nil), nil, event.ReasonBadRequest, 400},
		"wildcard +":        {ctx, "a/+/b", ok, nil, event.ReasonBadTopic, 400},
		"wildcard #":        {ctx, "a/#", ok, nil, event.ReasonBadTopic, 400},
		"NUL":               {ctx, "a\x00b", ok, nil, event.ReasonBadTopic, 400},
		"empty topic":       {ctx, "", ok, nil, event.ReasonBadTopic, 400},
		"topic too long":    {ctx, strings.Repeat("t", 65536), ok, nil, event.ReasonBadTopic, 400},
		"long topic, nil":   {ctx, strings.Repeat("t", 65536), broker.NewMessage(nil), nil, event.ReasonBadRequest, 400},
		"invalid UTF-8":     {ctx, "a/\xff\xfe", ok, nil, event.ReasonBadTopic, 400},
		"payload too large": {ctx, "a", broker.NewMessage(strings.Repeat("p", 1000)), nil, event.ReasonTooLarge, 413},
		"unknown codec":     {ctx, "a", ok, []broker.PublishOption{codec("nope")}, event.ReasonCodec, 400},
		"proto by value":    {ctx, "a", broker.NewMessage(struct{ N int }{1}), []broker.PublishOption{codec("proto")}, event.ReasonCodec, 400},
		"no JSON":           {ctx, "a", broker.NewMessage(make(chan int)), nil, event.ReasonCodec, 400},
		"panicking codec":   {ctx, "a", ok, []broker.PublishOption{codec("bomb")}, event.ReasonCodec, 400},
		"QoS 3":             {ctx, "a", ok, []broker.PublishOption{mqttbroker.WithPublishQos(3)}, event.ReasonBadRequest, 400},
		"required acks 3":   {ctx, "a", ok, []broker.PublishOption{broker.WithPublishRequiredAcks(3)}, event.ReasonBadRequest, 400},
		"required acks -2":  {ctx, "a", ok, []broker.PublishOption{broker.WithPublishRequiredAcks(-2)}, event.ReasonBadRequest, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := b.Publish(tt.ctx, tt.topic, tt.msg, tt.opts...)
			if e := wantReason(t, err, tt.reason, tt.code); e.MayHaveBeenSent || e.Op != "publish" {
				t.Errorf("op %q, may have been sent %t", e.Op, e.MayHaveBeenSent)
			}
			called := 0
			count := broker.WithPublishCallback(func(got error) {
				if called++; got == nil {
					t.Error("callback without the error")
				}
			})
			if err := b.Publish(tt.ctx, tt.topic, tt.msg, append(tt.opts, count)...); err == nil {
				t.Error("no error with a callback")
			}
			if called != 1 {
				t.Errorf("callback called %d times", called)
			}
		})
	}
	publish(t, b, "still/up", "x")
	if n := proxy.Counts().Connections; n != 1 {
		t.Errorf("%d connections, want 1: bad input broke the link", n)
	}
}

func TestPublishBodies(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL(), broker.WithCodec("json"))
	got := subscribe(t, b, "bodies")
	tests := map[string]struct {
		body any
		opts []broker.PublishOption
		want string
	}{
		"struct":            {struct{ N int }{1}, nil, `{"N":1}`},
		"proto as JSON":     {wrapperspb.Int64(7), nil, `"7"`},
		"proto":             {wrapperspb.String("a"), []broker.PublishOption{codec("proto")}, "\n\x01a"},
		"typed nil":         {(*wrapperspb.StringValue)(nil), []broker.PublishOption{codec("proto")}, ""},
		"retained, at once": {"r", []broker.PublishOption{mqttbroker.WithPublishQos(2)}, `"r"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			publish(t, b, "bodies", tt.body, tt.opts...)
			if m := receive(t, got); m.body != tt.want {
				t.Errorf("got %q, want %q", m.body, tt.want)
			}
		})
	}
}

func TestPublishWithoutCodec(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL(), broker.WithCodec("")) // a nil codec, as for an unknown name
	got := subscribe(t, b, "raw")
	publish(t, b, "raw", []byte("bytes"))
	publish(t, b, "raw", "string")
	for _, want := range []string{"bytes", "string"} {
		if m := receive(t, got); m.body != want {
			t.Errorf("got %q, want %q", m.body, want)
		}
	}
	err := b.Publish(within(t, patience), "raw", broker.NewMessage(struct{}{}))
	wantReason(t, err, event.ReasonCodec, 400)
	_, err = b.Subscribe("raw", func(context.Context, broker.Event) error { return nil }, func() any { return &struct{}{} })
	wantReason(t, err, event.ReasonCodec, 400)
}

// A nil error means that PUBACK arrived: if the acknowledgement is lost, Publish
// returns an error.
func TestPublishWaitsForPuback(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, server mqtttest.Broker) {
		proxy := mqtttest.NewProxy(t, server.URL())
		b := connected(t, proxy.URL())
		t.Cleanup(func() { proxy.Cut() }) // otherwise Disconnect waits for the lost PUBACK
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		started := time.Now()
		err := b.Publish(within(t, 3*time.Second), "a", broker.NewMessage("x"))
		if e := wantReason(t, err, event.ReasonTimeout, 504); !e.MayHaveBeenSent || e.Topic != "a" {
			t.Errorf("topic %q, may have been sent %t", e.Topic, e.MayHaveBeenSent)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error("the context's error is not in the chain")
		}
		if took := time.Since(started); took > soon {
			t.Errorf("took %v", took)
		}
		publish(t, b, "a", "x") // the connection works as before
		if n := proxy.Counts().Connections; n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
}

func TestPublishHonoursContext(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := connected(t, proxy.URL())
	t.Cleanup(func() { proxy.Cut() }) // otherwise Disconnect waits for the lost PUBACKs
	msg := broker.NewMessage("x")

	t.Run("canceled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if e := wantReason(t, b.Publish(ctx, "a", msg), event.ReasonCanceled, 499); e.MayHaveBeenSent {
			t.Error("may have been sent is set")
		}
	})
	t.Run("canceled while waiting", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		proxy.Observe(func(o mqtttest.Observed) {
			if o.Type() == mqtttest.TypePuback {
				cancel()
			}
		})
		defer proxy.Observe(nil)
		if e := wantReason(t, b.Publish(ctx, "a", msg), event.ReasonCanceled, 499); !e.MayHaveBeenSent {
			t.Error("may have been sent is not set")
		}
	})
	t.Run("timeout option", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		err := b.Publish(t.Context(), "a", msg, broker.WithPublishTimeout(50*time.Millisecond))
		wantReason(t, err, event.ReasonTimeout, 504)
	})
	t.Run("context option", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 2)
		err := b.Publish(t.Context(), "a", msg, broker.WithPublishContext(within(t, 50*time.Millisecond)))
		wantReason(t, err, event.ReasonTimeout, 504)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		err = b.Publish(t.Context(), "a", msg, broker.WithPublishContext(ctx))
		wantReason(t, err, event.ReasonCanceled, 499)
	})
	t.Run("configured timeout", func(t *testing.T) {
		proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
		b := connected(t, proxy.URL(), mqttbroker.WithPublisherConfig(publisherTimeout(50*time.Millisecond)))
		t.Cleanup(func() { proxy.Cut() })
		wantReason(t, b.Publish(context.Background(), "a", msg), event.ReasonTimeout, 504)
	})
}

func TestPublishWhileDown(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	server.Stop()
	b := connected(t, server.URL()) // a broker that is down is not an error
	for qos := range byte(3) {
		started := time.Now()
		err := b.Publish(within(t, 200*time.Millisecond), "a", broker.NewMessage("x"), mqttbroker.WithPublishQos(qos))
		if e := wantReason(t, err, event.ReasonNotConnected, 503); e.MayHaveBeenSent {
			t.Errorf("QoS %d: may have been sent, although there was no connection", qos)
		}
		if took := time.Since(started); took > soon {
			t.Errorf("QoS %d: took %v", qos, took)
		}
	}
	server.Start()
	publish(t, b, "a", "x")
}

func TestPublishUnlessConnected(t *testing.T) {
	t.Parallel()
	b := open(t, mqtttest.InProcess(t).URL())
	msg := broker.NewMessage("x")
	if e := wantReason(t, b.Publish(t.Context(), "a", msg), event.ReasonNotConnected, 503); e.Topic != "a" {
		t.Errorf("topic %q", e.Topic)
	}
	for range 2 {
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		publish(t, b, "a", "x")
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
		}
		wantReason(t, b.Publish(t.Context(), "a", msg), event.ReasonClosed, 503)
	}
}

// After Stop, a publish returns an error that reports the stop, even if the broker was
// never reachable. A Connect that failed has started nothing.
func TestPublishAfterStop(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	server.Stop()
	b := connected(t, server.URL())
	if err := b.Disconnect(); err != nil {
		t.Fatal(err)
	}
	msg := broker.NewMessage("x")
	err := b.Publish(t.Context(), "a", msg)
	if wantReason(t, err, event.ReasonClosed, 503); !strings.Contains(err.Error(), "stopped") {
		t.Errorf("got %v", err)
	}
	wantReason(t, b.Publish(t.Context(), "a", msg, broker.WithPublishAsync(nil)), event.ReasonClosed, 503)
	if err := b.Health().LastError; err == nil || !strings.Contains(err.Error(), "stopped") {
		t.Errorf("health says %v", err)
	}
}
