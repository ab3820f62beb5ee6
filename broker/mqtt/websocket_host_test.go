package mqtt_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// A Host header sets the host of the upgrade request, whatever its case and source.
func TestHostOfTheUpgrade(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]broker.Option{
		"configuration": mqttbroker.WithConnectionConfig(&v1.Connection{WebsocketHeaders: map[string]string{"host": "signed.example"}}),
		"option":        mqttbroker.WithWebSocketHeader(http.Header{"HOST": {"signed.example"}}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case asked <- r.Host:
				default:
				}
				w.WriteHeader(http.StatusForbidden)
			}))
			t.Cleanup(server.Close)
			b := open(t, "ws"+strings.TrimPrefix(server.URL, "http")+"/mqtt", opt, mqttbroker.WithFailFast(true))
			if err := b.Connect(); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("got %v", err)
			}
			if host := <-asked; host != "signed.example" {
				t.Errorf("Host %q", host)
			}
		})
	}
}
