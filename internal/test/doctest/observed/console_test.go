package observed

import (
	"net/http"
	"net/http/httptest"
	"testing"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func NewConsole(c *kratosmqttv1.Connection, mux *http.ServeMux, token string) (*mqttserver.Server, error) {
	recorder, probe := console.NewRecorder(), observe.NewProbe(observe.Limits{})
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(c), mqttbroker.WithHooks(recorder, probe)))
	probe.Watch(srv) // and each Broker or Publisher
	page, err := console.New(console.Options{
		Recorder: recorder, Probe: probe, Service: "plants", Token: token,
		Operator: operator.New(operator.Options{Source: srv, Parked: srv, Outbox: srv, Subscriptions: srv, Retained: srv, Probe: probe}),
	})
	if err != nil {
		return nil, err
	}
	mux.Handle("/console/", page)
	return srv, nil
}

func TestConsoleOfTheGuide(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	if _, err := NewConsole(&kratosmqttv1.Connection{Addresses: []string{"mqtt://127.0.0.1:1"}}, mux, ""); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/", nil))
	if w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}
