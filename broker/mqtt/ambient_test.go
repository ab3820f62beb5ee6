package mqtt_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/metadata"
	kmetadata "github.com/go-kratos/kratos/v2/middleware/metadata"
	ktracing "github.com/go-kratos/kratos/v2/middleware/tracing"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// eachPath runs a test for every path that a message can take to the broker, on both
// versions of MQTT. headers is true if the path can carry metadata.
func eachPath(t *testing.T, test func(t *testing.T, url string, headers bool, opts ...broker.Option)) {
	t.Helper()
	for path, opts := range map[string]func(t *testing.T) []broker.Option{
		"direct": func(*testing.T) []broker.Option { return nil },
		"outbox": func(t *testing.T) []broker.Option {
			return []broker.Option{mqttbroker.WithOutbox(memory(t, 100))}
		},
		"CloudEvents": func(*testing.T) []broker.Option {
			return []broker.Option{mqttbroker.WithCloudEvents("/s")}
		},
		"CloudEvents by outbox": func(t *testing.T) []broker.Option {
			return []broker.Option{mqttbroker.WithCloudEvents("/s"), mqttbroker.WithOutbox(memory(t, 100))}
		},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, url string, version broker.Option) {
				five := strings.HasSuffix(t.Name(), "/5")
				test(t, url, five, append(opts(t), version)...)
			})
		})
	}
}

func droppedHeaders(t testing.TB, b *mqttbroker.Broker) int64 {
	t.Helper()
	return b.Health().ContextHeadersDropped
}

// behindHTTP runs f as the handler of a Kratos HTTP server with the metadata
// middleware, for a request with the given headers.
func behindHTTP(t testing.TB, header http.Header, f func(context.Context) error) {
	t.Helper()
	srv := khttp.NewServer(khttp.Timeout(patience), khttp.Middleware(kmetadata.Server()))
	srv.Route("/").GET("/", func(c khttp.Context) error {
		_, err := c.Middleware(func(ctx context.Context, _ any) (any, error) { return nil, f(ctx) })(c, nil)
		return err
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	maps.Copy(r.Header, header)
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// A header of an HTTP request that MQTT cannot carry must not fail the publish of its
// handler.
func TestUnfitMetadataDoesNotFailThePublish(t *testing.T) {
	t.Parallel()
	eachPath(t, func(t *testing.T, url string, headers bool, opts ...broker.Option) {
		b, out := logged(t, url, opts...)
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		got := messages(t, b, "a", nil)
		header := http.Header{"X-Md-Global-City": {"Orl\xe9ans"}, "X-Md-Global-Tenant": {"t"}}
		const publishes = 2
		for range publishes {
			behindHTTP(t, header, func(ctx context.Context) error { return b.Publish(ctx, "a", broker.NewMessage("x")) })
			m := receive(t, got)
			if city, ok := m.Headers["x-md-global-city"]; ok {
				t.Errorf("the city is there: %q", city)
			}
			if tenant := m.Headers["x-md-global-tenant"]; headers && tenant != "t" {
				t.Errorf("tenant %q, want the fit header beside", tenant)
			}
		}
		if n := droppedHeaders(t, b); n != publishes {
			t.Errorf("%d headers counted as left out, want %d", n, publishes)
		}
		if n := out.count("x-md-global-city"); n != 1 {
			t.Errorf("the log names the header %d times, want once", n)
		}
	})
}

// Headers that do not fit for another reason are left out one by one, and the others
// are sent.
func TestContextHeadersThatDoNotFitAreLeftOut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("v", 9<<10)
	eachPath(t, func(t *testing.T, url string, headers bool, opts ...broker.Option) {
		b := connected(t, url, opts...)
		got := messages(t, b, "a", nil)
		many := make(map[string][]string)
		for i := range 100 {
			many[fmt.Sprintf("x-md-global-%03d", i)] = []string{"v"}
		}
		for name, md := range map[string]map[string][]string{
			"control character":   {"x-md-global-a": {"a\x01b"}},
			"U+0000":              {"x-md-global-a": {"a\x00b"}},
			"no character":        {"x-md-global-a": {"a\uffffb"}},
			"too long":            {"x-md-global-a": {long}},
			"name is too long":    {"x-md-global-" + long[:200]: {"a"}},
			"too many of them":    many,
			"one of many is long": {"x-md-global-a": {"v", long, "w"}},
		} {
			before, fit := droppedHeaders(t, b), "x-md-global-000-fits"
			md[fit] = []string{"v"}
			ctx := metadata.NewServerContext(within(t, patience), metadata.New(md))
			if err := b.Publish(ctx, "a", broker.NewMessage("x")); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			m := receive(t, got)
			if headers && m.Headers[fit] != "v" {
				t.Errorf("%s: what fits is missing in %v", name, m.Headers)
			}
			if droppedHeaders(t, b) == before {
				t.Errorf("%s: nothing is counted", name)
			}
		}
	})
}

// Kratos' own propagator sets a header whose name is not allowed in a CloudEvent.
func TestKratosPropagatorWithCloudEvents(t *testing.T) {
	t.Parallel()
	propagators := broker.WithPropagator(propagation.NewCompositeTextMapPropagator(
		ktracing.Metadata{}, propagation.Baggage{}, propagation.TraceContext{}))
	eachPath(t, func(t *testing.T, url string, headers bool, opts ...broker.Option) {
		b := connected(t, url, append(opts, propagators)...)
		got := messages(t, b, "a", nil)
		member, err := baggage.NewMember("k", "v")
		if err != nil {
			t.Fatal(err)
		}
		bag, err := baggage.New(member)
		if err != nil {
			t.Fatal(err)
		}
		ctx := baggage.ContextWithBaggage(within(t, patience), bag)
		ctx = kratos.NewContext(ctx, kratos.New(kratos.Name("svc")))
		if err := b.Publish(ctx, "a", broker.NewMessage("x")); err != nil {
			t.Fatal(err)
		}
		m := receive(t, got)
		if name := m.Headers["x-md-service-name"]; headers && name != "svc" {
			t.Errorf("service name %q in %v", name, m.Headers)
		}
		carried := headers || strings.Contains(t.Name(), "/CloudEvents")
		if bag := m.Headers["baggage"]; carried && bag != "k=v" {
			t.Errorf("baggage %q in %v", bag, m.Headers)
		}
		if !headers { // counted when the outbox has sent it
			mqtttest.Eventually(t, patience, func() bool { return b.Health().HeadersLost == 1 }, "headers lost")
		}
	})
}

// A Kratos service name that is not a valid MQTT text, and baggage over the limit, are
// left out as well.
func TestUnfitTraceHeadersAreLeftOut(t *testing.T) {
	t.Parallel()
	eachPath(t, func(t *testing.T, url string, _ bool, opts ...broker.Option) {
		b := connected(t, url, append(opts, broker.WithPropagator(propagation.NewCompositeTextMapPropagator(ktracing.Metadata{}, wild{})))...)
		got := messages(t, b, "a", nil)
		ctx := kratos.NewContext(within(t, patience), kratos.New(kratos.Name("caf\xe9")))
		msg := broker.NewMessage("x", broker.WithID("id-1"), broker.WithHeader("asked", "v"))
		if err := b.Publish(ctx, "a", msg); err != nil {
			t.Fatal(err)
		}
		m := receive(t, got)
		if strings.Contains(fmt.Sprint(m.Headers), "wild") {
			t.Errorf("got %v", m.Headers)
		}
		if n := droppedHeaders(t, b); n != 3 {
			t.Errorf("%d headers counted as left out, want 3", n)
		}
		if len(m.Headers) > 0 && (m.ID != "id-1" || m.Headers["asked"] != "v") {
			t.Errorf("id %q, headers %v: what was asked for is missing", m.ID, m.Headers)
		}
	})
}

// wild is a propagator that sets invalid headers.
type wild struct{}

func (wild) Inject(_ context.Context, c propagation.TextMapCarrier) {
	c.Set("baggage", "wild"+strings.Repeat("v", 9<<10))
	c.Set("", "wild")
}

func (wild) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context { return ctx }

func (wild) Fields() []string { return nil }

// Headers from the context cannot change the attributes of the event, and headers of
// the call take precedence over them.
func TestContextDoesNotReplaceWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	eachPath(t, func(t *testing.T, url string, headers bool, opts ...broker.Option) {
		b := connected(t, url, append(opts, broker.WithPropagator(imposter{}))...)
		got := messages(t, b, "a", nil)
		ctx := metadata.NewServerContext(within(t, patience), metadata.New(map[string][]string{"x-md-global-a": {"context"}}))
		events := strings.Contains(t.Name(), "/CloudEvents")
		msg := broker.NewMessage("x", broker.WithID("id-1"))
		if !events {
			msg.Headers = broker.Headers{"x-md-global-a": "call"}
		}
		if err := b.Publish(ctx, "a", msg); err != nil {
			t.Fatal(err)
		}
		m := receive(t, got)
		if events && (m.ID != "id-1" || m.Headers["source"] != "/s" || m.Headers["type"] != "bytes") {
			t.Errorf("id %q, headers %v", m.ID, m.Headers)
		}
		if n := droppedHeaders(t, b); n != 4 {
			t.Errorf("%d headers counted as left out, want 4", n)
		}
		if headers && !events && m.Headers["x-md-global-a"] != "call" {
			t.Errorf("headers %v", m.Headers)
		}
	})
}

// imposter is a propagator that sets attributes of the event.
type imposter struct{}

func (imposter) Inject(_ context.Context, c propagation.TextMapCarrier) {
	for _, name := range []string{"source", "type", "specversion", "id"} {
		c.Set(name, "imposter")
	}
}

func (imposter) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context {
	return ctx
}

func (imposter) Fields() []string { return nil }

// A header of the call that does not fit is an error: only headers of the context are
// left out.
func TestUnfitHeadersOfTheCallFailIt(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	err := b.Publish(within(t, patience), "a", broker.NewMessage("x", broker.WithHeader("city", "Orl\xe9ans")))
	wantReason(t, err, event.ReasonBadRequest, 400)
	if n := droppedHeaders(t, b); n != 0 {
		t.Errorf("%d headers of the context counted", n)
	}
}

// A header of the context is also left out if it would make the packet too large for
// the broker, or an event larger than our own limit.
func TestContextHeadersOverThePacketLimitAreLeftOut(t *testing.T) {
	t.Parallel()
	const limit = 2000
	url := mqtttest.Mosquitto(t, mqtttest.WithConfig(fmt.Sprintf("max_packet_size %d", limit))).URL()
	ctx := metadata.NewServerContext(within(t, patience), metadata.New(map[string][]string{"x-md-global-a": {strings.Repeat("v", limit/2)}}))
	b := connected(t, url, mqttbroker.WithProtocol("5"))
	got := messages(t, b, "a", nil)
	msg := broker.NewMessage(strings.Repeat("b", limit/2), broker.WithHeader("asked", "v"))
	for name, opts := range map[string][]broker.PublishOption{"sync": nil, "async": {broker.WithPublishAsync(nil)}} {
		before := droppedHeaders(t, b)
		if err := b.Publish(ctx, "a", msg, opts...); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m := receive(t, got); m.Headers["asked"] != "v" || m.Headers["x-md-global-a"] != "" || droppedHeaders(t, b) != before+1 {
			t.Errorf("%s: headers %v, %d left out", name, m.Headers, droppedHeaders(t, b)-before)
		}
	}
	err := b.Publish(ctx, "a", broker.NewMessage(strings.Repeat("b", limit)))
	wantReason(t, err, event.ReasonTooLarge, 413)
}

func TestContextHeadersOverThePayloadLimitAreLeftOut(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, url string, version broker.Option) {
		const limit, space = 256 << 10, 1000
		b := connected(t, url, version, mqttbroker.WithCloudEvents("/s"), broker.WithPropagator(heavy{}))
		got := messages(t, b, "a", nil)
		if err := b.Publish(within(t, patience), "a", broker.NewMessage(strings.Repeat("b", limit-space))); err != nil {
			t.Fatal(err)
		}
		if m := receive(t, got); m.Headers["baggage"] != "" || len(m.Body.([]byte)) < limit-space {
			t.Errorf("%d bytes with headers %v", len(m.Body.([]byte)), m.Headers)
		}
		if n := droppedHeaders(t, b); n != 1 {
			t.Errorf("%d headers counted as left out, want 1", n)
		}
	})
}

// heavy is a propagator that sets many valid headers.
type heavy struct{}

func (heavy) Inject(_ context.Context, c propagation.TextMapCarrier) {
	c.Set("baggage", strings.Repeat("v", 2000))
}

func (heavy) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context { return ctx }

func (heavy) Fields() []string { return nil }
