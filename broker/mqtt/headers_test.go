package mqtt_test

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/metadata"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// messages collects what arrives on a filter, as kratos-transport shows it.
func messages(t testing.TB, b *mqttbroker.Broker, filter string, binder broker.Binder, opts ...broker.SubscribeOption) <-chan broker.Message {
	t.Helper()
	ch := make(chan broker.Message, 100)
	_, err := b.Subscribe(filter, func(_ context.Context, e broker.Event) error {
		ch <- *e.Message()
		return nil
	}, binder, opts...)
	if err != nil {
		t.Fatalf("subscribe to %q: %v", filter, err)
	}
	return ch
}

// mqtt5 returns a broker that is connected to a Mosquitto, the reference for MQTT 5.
func mqtt5(t testing.TB, opts ...broker.Option) *mqttbroker.Broker {
	t.Helper()
	return connected(t, mqtttest.Mosquitto(t).URL(), append([]broker.Option{mqttbroker.WithProtocol("5")}, opts...)...)
}

func TestHeadersBothWays(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	got := messages(t, b, "a", nil)
	err := b.Publish(within(t, patience), "a",
		broker.NewMessage("x", broker.WithID("id-1"), broker.WithHeader("id", "loses"), broker.WithHeader("Key", "v")),
		mqttbroker.WithCallOptions(event.Header("twice", "1"), event.Header("twice", "2")))
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, got)
	want := broker.Headers{"id": "id-1", "Key": "v", "twice": "2"}
	if m.ID != "id-1" || !reflect.DeepEqual(m.Headers, want) {
		t.Errorf("got id %q, headers %v; want %v", m.ID, m.Headers, want)
	}
}

// clientTransport is the transport of a client under Kratos middleware.
type clientTransport struct {
	transport.Transporter
	kind   transport.Kind
	header header
}

type header map[string][]string

func (h header) Get(k string) string      { return h[k][0] }
func (h header) Set(k, v string)          { h[k] = []string{v} }
func (h header) Add(k, v string)          { h[k] = append(h[k], v) }
func (h header) Values(k string) []string { return h[k] }
func (h header) Keys() (keys []string) {
	for k := range h {
		keys = append(keys, k)
	}
	return keys
}

func (c clientTransport) Kind() transport.Kind            { return c.kind }
func (c clientTransport) RequestHeader() transport.Header { return c.header }

func TestMetadataOfTheContext(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	got := messages(t, b, "a", nil)
	ctx := within(t, patience)
	client := metadata.NewClientContext(ctx, metadata.New(map[string][]string{"x-md-local-a": {"1"}, "authorization": {"secret"}}))
	server := metadata.NewServerContext(ctx, metadata.New(map[string][]string{"x-md-global-b": {"2"}, "x-md-local-c": {"3"}}))
	ours := transport.NewClientContext(client, clientTransport{kind: "mqtt", header: header{"x-md-d": {"4"}}})
	other := transport.NewClientContext(server, clientTransport{kind: "http", header: header{"x-md-d": {"4"}}})
	tests := map[string]struct {
		ctx  context.Context
		want broker.Headers
	}{
		"none":              {ctx, nil},
		"client":            {client, broker.Headers{"x-md-local-a": "1"}},
		"server":            {server, broker.Headers{"x-md-global-b": "2"}},
		"client transport":  {ours, broker.Headers{"x-md-d": "4"}},
		"another transport": {other, broker.Headers{"x-md-global-b": "2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := b.Publish(tt.ctx, "a", broker.NewMessage("x")); err != nil {
				t.Fatal(err)
			}
			m := receive(t, got)
			delete(m.Headers, "id") // has its own tests
			if len(m.Headers) == 0 {
				m.Headers = nil
			}
			if !reflect.DeepEqual(m.Headers, tt.want) {
				t.Errorf("got %v, want %v", m.Headers, tt.want)
			}
		})
	}
}

// The content type of a message selects the codec, even if the subscription has another
// one.
func TestContentTypePicksTheCodec(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	got := messages(t, b, "a", func() any { return new(wrapperspb.StringValue) })
	type plain struct{ Value string }
	plains := messages(t, b, "plain", func() any { return new(plain) })
	tests := map[string]struct {
		body any
		opts []broker.PublishOption
	}{
		"the subscription's": {newString("v"), nil},
		"protobuf":           {newString("v"), []broker.PublishOption{broker.WithPublishBodyCodec("proto")}},
		"another name of it": {newString("v"), []broker.PublishOption{
			broker.WithPublishBodyCodec("proto"), mqttbroker.WithCallOptions(event.ContentType("application/x-protobuf; x=y")),
		}},
		"a suffix":   {newString("v"), []broker.PublishOption{mqttbroker.WithCallOptions(event.ContentType("application/vnd.some+json"))}},
		"an unknown": {newString("v"), []broker.PublishOption{mqttbroker.WithCallOptions(event.ContentType("text/plain"))}},
		"a malformed": {newString("v"), []broker.PublishOption{
			mqttbroker.WithCallOptions(event.ContentType(";;")),
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			publish(t, b, "a", tt.body, tt.opts...)
			if v := receive(t, got).Body.(*wrapperspb.StringValue).GetValue(); v != "v" {
				t.Errorf("got %q", v)
			}
		})
	}
	t.Run("protobuf cannot fill it", func(t *testing.T) {
		publish(t, b, "plain", plain{"v"}, mqttbroker.WithCallOptions(event.ContentType("application/protobuf")))
		if v := receive(t, plains).Body.(*plain).Value; v != "v" {
			t.Errorf("got %q", v)
		}
	})
}

func TestPublishExpiry(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	sent := observe(proxy, mqtttest.TypePublish)
	b := connected(t, proxy.URL(), mqttbroker.WithProtocol("5"))
	publish(t, b, "a", "x", mqttbroker.WithCallOptions(event.Expiry(time.Nanosecond))) // 1 s, rounded up
	if body := receive(t, sent); !bytes.Contains(body, []byte{2, 0, 0, 0, 1}) {
		t.Errorf("no message expiry of 1 s in % x", body)
	}
	err := b.Publish(t.Context(), "a", broker.NewMessage("x"), mqttbroker.WithCallOptions(event.Expiry(-1)))
	wantReason(t, err, event.ReasonBadRequest, 400)
}

// observe returns the bodies of packets on their way to the broker.
func observe(proxy *mqtttest.Proxy, typ mqtttest.PacketType) <-chan []byte {
	ch := make(chan []byte, 100)
	proxy.Observe(func(o mqtttest.Observed) {
		if o.Type() == typ && o.Direction == mqtttest.ToBroker {
			ch <- bytes.Clone(o.Body)
		}
	})
	return ch
}

// MQTT 3.1.1 cannot carry headers: the lost headers are counted, and logged once.
func TestHeadersLostAreCounted(t *testing.T) {
	t.Parallel()
	p, err := mqttbroker.NewPublisher(broker.WithAddress(mqtttest.InProcess(t).URL()), mqttbroker.WithProtocol("3.1.1"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	for _, opts := range [][]event.CallOption{
		nil, {event.ContentType("text/plain")}, {event.Header("k", "v")}, {event.Expiry(time.Second)},
	} {
		if err := p.Publish(ctx, "a", []byte("x"), opts...); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Health().HeadersLost; n != 2 {
		t.Errorf("%d counted, want 2", n)
	}
}

// Names of headers are compared without case, because senders write them differently.
// This applies to the id, and to trace context, which replaces the publisher's.
func TestHeadersIgnoreCase(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	got := messages(t, b, "a", nil)
	publish(t, b, "a", "x", mqttbroker.WithCallOptions(event.Header("ID", "event-7")))
	m := receive(t, got)
	if _, second := m.Headers["id"]; m.ID != "event-7" || second {
		t.Errorf("got %+v", m)
	}
}
