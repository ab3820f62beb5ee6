package server

import (
	"context"
	"encoding/json"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-kratos/kratos/v2/registry"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

func newTelemetry(t *testing.T) *Telemetry {
	t.Helper()
	telemetry, err := newMetrics("test", observe.Limits{OutboxCovers: true})
	if err != nil {
		t.Fatal(err)
	}
	return telemetry
}

// mqttClient is a client whose state a test changes.
type mqttClient struct {
	mu sync.Mutex
	h  event.Health
}

func (c *mqttClient) Health() event.Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.h
}

func (c *mqttClient) set(change func(*event.Health)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.h)
}

// watched returns telemetry of one client that is connected.
func watched(t *testing.T) (*Telemetry, *mqttClient) {
	t.Helper()
	telemetry, c := newTelemetry(t), &mqttClient{h: event.Health{Connected: true, Ready: true, Filters: 1, Granted: 1}}
	telemetry.Watch(c)
	return telemetry, c
}

func TestProbesByHTTP(t *testing.T) {
	t.Parallel()
	telemetry, c := watched(t)
	url := serveHTTPOf(t, &stub{}, NewRoom(), telemetry, &conf.Server_HTTP{})
	for _, tt := range []struct {
		change func(*event.Health)
		code   int
		status observe.Status
	}{
		{func(*event.Health) {}, nethttp.StatusOK, observe.Ready},
		{func(h *event.Health) { h.ParkedKeys = 1 }, nethttp.StatusOK, observe.Degraded},
		{func(h *event.Health) { h.Connected = false }, nethttp.StatusServiceUnavailable, observe.NotReady},
	} {
		c.set(tt.change)
		code, kind, text := get(t, url+"/readyz")
		var r observe.Report
		if err := json.Unmarshal([]byte(text), &r); err != nil || code != tt.code || kind != "application/json" || r.Status != tt.status {
			t.Errorf("%d %s %s, want %d %s", code, kind, text, tt.code, tt.status)
		}
		if code, _, text := get(t, url+"/healthz"); code != nethttp.StatusOK {
			t.Errorf("live: %d %s", code, text)
		}
	}
}

func TestMetricsByHTTP(t *testing.T) {
	t.Parallel()
	telemetry, _ := watched(t)
	url := serveHTTPOf(t, &stub{}, NewRoom(), telemetry, &conf.Server_HTTP{})
	code, kind, text := get(t, url+"/metrics")
	if code != nethttp.StatusOK || !strings.HasPrefix(kind, "text/plain") {
		t.Fatalf("%d %s %s", code, kind, text)
	}
	for _, want := range []string{"kratosmqtt_ready{", "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestHealthByGRPC(t *testing.T) {
	t.Parallel()
	telemetry, c := watched(t)
	health := healthpb.NewHealthClient(serveGRPCOf(t, &stub{}, NewRoom(), telemetry, &conf.Server_GRPC{}))
	check := func(service string) (healthpb.HealthCheckResponse_ServingStatus, error) {
		r, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		return r.GetStatus(), err
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := health.Watch(ctx, new(healthpb.HealthCheckRequest))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []healthpb.HealthCheckResponse_ServingStatus{healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING} {
		c.set(func(h *event.Health) { h.Connected = want == healthpb.HealthCheckResponse_SERVING })
		for _, service := range []string{"", "report.v1.ReportService"} {
			if got, err := check(service); got != want || err != nil {
				t.Errorf("%q: %v, %v, want %v", service, got, err, want)
			}
		}
		if r, err := watch.Recv(); r.GetStatus() != want || err != nil {
			t.Errorf("watch: %v, %v, want %v", r, err, want)
		}
	}
	if _, err := check("other"); status.Code(err) != codes.NotFound {
		t.Errorf("unknown service: %v", err)
	}
}

// registered records the registered instances.
type registered struct {
	mu   sync.Mutex
	seen []string
}

func (r *registered) note(what string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, what)
	return nil
}

func (r *registered) Register(_ context.Context, s *registry.ServiceInstance) error {
	return r.note(s.Metadata[statusKey] + " " + s.Metadata["subscribes"])
}

func (r *registered) Deregister(context.Context, *registry.ServiceInstance) error {
	return r.note("gone")
}

// The status in the registry follows that of the process, as long as it is registered.
func TestRegistryFollows(t *testing.T) {
	t.Parallel()
	if follow(nil, nil) != nil {
		t.Error("a registrar of nothing")
	}
	synctest.Test(t, func(t *testing.T) {
		telemetry, c := watched(t)
		r := new(registered)
		f, instance := follow(r, telemetry), &registry.ServiceInstance{Metadata: map[string]string{"subscribes": "true"}}
		if err := f.Register(t.Context(), instance); err != nil {
			t.Fatal(err)
		}
		later := func() {
			<-time.After(2 * announcePeriod) // of the clock of synctest
			synctest.Wait()
		}
		later()
		c.set(func(h *event.Health) { h.ParkedKeys = 1 })
		later()
		c.set(func(h *event.Health) { h.Connected = false })
		later()
		if err := f.Deregister(t.Context(), instance); err != nil {
			t.Fatal(err)
		}
		c.set(func(h *event.Health) { h.Connected = true })
		later()
		if got, want := strings.Join(r.seen, ", "), "ready true, degraded true, not ready true, gone"; got != want {
			t.Errorf("registered %s, want %s", got, want)
		}
		if _, changed := instance.Metadata[statusKey]; changed {
			t.Error("the metadata of the app was changed")
		}
	})
}
