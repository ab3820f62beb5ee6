package mqtt_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// publisher returns a connected publisher that is closed at the end of the test.
func publisher(t testing.TB, url, protocol string, opts ...broker.Option) *mqttbroker.Publisher {
	t.Helper()
	p, err := mqttbroker.NewPublisher(append([]broker.Option{
		broker.WithAddress(url), mqttbroker.WithProtocol(protocol),
		mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)),
		mqttbroker.WithMaxReconnectInterval(100 * time.Millisecond),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublisher(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, server mqtttest.Broker) {
		for _, protocol := range []string{"3.1.1", "5"} {
			t.Run(protocol, func(t *testing.T) { checkPublisher(t, server, protocol) })
		}
	})
}

func checkPublisher(t *testing.T, server mqtttest.Broker, protocol string) {
	t.Helper()
	proxy := mqtttest.NewProxy(t, server.URL())
	p := publisher(t, proxy.URL(), protocol)
	got := subscribe(t, connected(t, server.URL()), "native/"+protocol)
	topic, ctx := "native/"+protocol, within(t, patience)

	payload := []byte("sync")
	if err := p.Publish(ctx, topic, payload, nil, event.QoS(2), event.Header("k", "v")); err != nil {
		t.Fatal(err)
	}
	copy(payload, "XXXX") // the caller may reuse it after Publish returned
	outcomes := make(chan error, 1)
	if err := p.PublishAsync(ctx, topic, []byte("async"), func(err error) { outcomes <- err }); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, outcomes); err != nil {
		t.Error(err)
	}
	if err := p.PublishAsync(ctx, topic, []byte("no callback"), nil); err != nil {
		t.Fatal(err)
	}
	w, err := p.BeginPublish(ctx, topic, []byte("handle"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Wait(ctx); err != nil || w.Err() != nil {
		t.Errorf("%v, %v", err, w.Err())
	}
	for _, want := range []string{"sync", "async", "no callback", "handle"} {
		if m := receive(t, got); m.body != want {
			t.Errorf("got %q, want %q", m.body, want)
		}
	}

	proxy.Drop(mqtttest.ToClient, mqtttest.TypePuback, 1)
	w, err = p.BeginPublish(ctx, topic, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if e := wantReason(t, w.Wait(within(t, time.Second)), event.ReasonTimeout, 504); !e.MayHaveBeenSent || w.Err() != nil {
		t.Errorf("may have been sent %t, known already: %v", e.MayHaveBeenSent, w.Err())
	}
	proxy.Cut() // the acknowledgement arrives on the next connection
	if err := w.Wait(ctx); err != nil {
		t.Error(err)
	}
}

func TestPublisherRefusesBadInput(t *testing.T) {
	t.Parallel()
	p := publisher(t, mqtttest.InProcess(t).URL(), "3.1.1")
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx     context.Context
		topic   string
		payload string
		qos     byte
		reason  event.Reason
		code    int
	}{
		"nil context":       {nil, "a", "", 1, event.ReasonBadRequest, 400},
		"canceled":          {canceled, "a", "", 1, event.ReasonCanceled, 499},
		"wildcard":          {t.Context(), "a/#", "", 1, event.ReasonBadTopic, 400},
		"QoS 3":             {t.Context(), "a", "", 3, event.ReasonBadRequest, 400},
		"payload too large": {t.Context(), "a", strings.Repeat("p", 256<<10+1), 1, event.ReasonTooLarge, 413},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			qos, payload := event.QoS(tt.qos), []byte(tt.payload)
			_, handle := p.BeginPublish(tt.ctx, tt.topic, payload, qos)
			for form, err := range map[string]error{
				"sync":     p.Publish(tt.ctx, tt.topic, payload, qos),
				"callback": p.PublishAsync(tt.ctx, tt.topic, payload, func(error) { t.Error("called") }, qos),
				"handle":   handle,
			} {
				if e := wantReason(t, err, tt.reason, tt.code); e.MayHaveBeenSent {
					t.Errorf("%s: may have been sent", form)
				}
			}
		})
	}
	if _, err := mqttbroker.NewPublisher(); err == nil {
		t.Error("a publisher without an address")
	}
}
