package mqtt_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Client ids and groups have the name of the Kratos application, which is known from Start on.
func TestIdentityHasTheNameOfTheApplication(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{"": "svc-", "{service}-{hostname}": "svc-"} {
		t.Run("id "+id, func(t *testing.T) {
			t.Parallel()
			m := mqtttest.InProcess(t)
			srv, _ := server(t, m.URL(), mqttserver.WithClientId(id))
			register(t, srv, "jobs", into(make(chan string, 1)), broker.WithSubscribeQueueName("{service}"))
			if err := srv.Start(appContext(t.Context())); err != nil {
				t.Fatal(err)
			}
			mqtttest.Eventually(t, patience, func() error {
				for _, s := range m.Sessions() {
					if strings.HasPrefix(s.ClientID, want) && slices.Equal(s.Filters, []string{"$share/svc/jobs"}) {
						return nil
					}
				}
				return fmt.Errorf("got %+v, want an id with %q and the group svc", m.Sessions(), want)
			})
		})
	}
}

// Outside of an application the name is missing, which Start reports.
func TestIdentityWithoutAName(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithClientId("{service}-{hostname}"))
	if err := srv.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "connection.client_id: has {service}, which is not known here: want OTEL_SERVICE_NAME") {
		t.Errorf("got %v, want an error that says what to set", err)
	}
}
