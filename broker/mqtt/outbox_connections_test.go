package mqtt_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// One of several publishing connections fails, at the start or later. It delays its own
// topics only, even if nothing is sent for longer than the lease of a shared store.
func TestOutboxOneOfTwoConnections(t *testing.T) {
	t.Parallel()
	const topics, lease = 40, time.Second // longer than a commit on a busy disk
	for name, fromStart := range map[string]bool{"from the start": true, "later": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var refuse atomic.Bool
			refuse.Store(fromStart)
			server := mqtttest.InProcess(t, broker.WithAuthentication(func(id, _, _ string) byte {
				if refuse.Load() && strings.HasSuffix(id, "-pub-2") {
					return 0x88 // server unavailable
				}
				return 0
			}))
			store, _ := sqlStore(t, outboxsql.Options{Lease: lease})
			got := subscribe(t, connected(t, server.URL(), mqttbroker.WithProtocol("5")), "t/#")
			b := connected(t, server.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("two"),
				mqttbroker.WithPublisherConnections(2), mqttbroker.WithOutbox(store))
			if !fromStart {
				for i := range topics {
					publish(t, b, fmt.Sprintf("t/%d", i), "x")
				}
				for range topics {
					receive(t, got)
				}
				refuse.Store(true)
				server.Cut("two-pub-2")
				<-time.After(3 * lease) // nothing is sent meanwhile
			}
			for i := range topics {
				publish(t, b, fmt.Sprintf("t/%d", i), "x")
			}
			for range topics / 5 { // about half of them use the connection that is open
				receive(t, got)
			}
			refuse.Store(false)
			wantDepth(t, store, 0)
		})
	}
}
