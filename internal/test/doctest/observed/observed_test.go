// Package observed has the code of docs/guide/operations.md.
package observed

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func NewObservedServer(c *kratosmqttv1.Connection, provider metric.MeterProvider, mux *http.ServeMux) (*mqttserver.Server, error) {
	metrics, err := observe.NewMetrics(provider)
	if err != nil {
		return nil, err
	}
	probe := observe.NewProbe(observe.Limits{})
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(c), mqttbroker.WithHooks(metrics, probe)))
	metrics.Watch(srv) // and each Broker or Publisher
	probe.Watch(srv)
	mux.Handle("/healthz", probe.Live())
	mux.Handle("/readyz", probe.Ready())
	return srv, nil
}

// Operate serves the operator's calls by HTTP, without a token only to callers on this machine.
func Operate(srv *mqttserver.Server, token string, mux *http.ServeMux) {
	calls := operator.New(operator.Options{Source: srv, Parked: srv, Outbox: srv, Subscriptions: srv})
	mux.Handle(remote.Path, remote.New(calls, token).Handler())
}

func TestOperate(t *testing.T) {
	mux := http.NewServeMux()
	Operate(mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithHooks())), "", mux)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8000"+remote.Path+"ListSubscriptions", strings.NewReader("{}"))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/json")
	if mux.ServeHTTP(w, r); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "subscriptions") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestObservedServer(t *testing.T) {
	mux := http.NewServeMux()
	c := &kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}}
	srv, err := NewObservedServer(c, sdkmetric.NewMeterProvider(), mux)
	if err != nil {
		t.Fatal(err)
	}
	ready := func() int {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
		return w.Code
	}
	if code := ready(); code != http.StatusServiceUnavailable {
		t.Errorf("before Start: %d", code)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Start(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := srv.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if code := ready(); code != http.StatusOK {
		t.Errorf("when ready: %d", code)
	}
	if err := errors.Join(srv.Stop(context.Background()), <-done); err != nil {
		t.Error(err)
	}
}
