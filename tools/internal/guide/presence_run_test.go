package guide

import (
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestWatch observes an instance that goes online and offline.
func TestWatch(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	seen := make(chan bool, 10)
	watcher := mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(connection(url, "watcher")), mqttbroker.WithServiceName("watcher")))
	watch(watcher, func(clientID string, is bool) {
		if clientID == "fleet" {
			seen <- is
		}
	})
	start(t, watcher)
	t.Run("instance", func(t *testing.T) {
		start(t, NewMQTTServer(connection(url, "fleet"), &FleetEventsService{NewStore()}))
		expect(t, seen, true)
	})
	expect(t, seen, false)
}

func expect(t *testing.T, seen <-chan bool, want bool) {
	t.Helper()
	for {
		select {
		case is := <-seen:
			if is == want {
				return
			}
		case <-time.After(patience):
			t.Fatalf("online is not seen to be %v", want)
		}
	}
}
