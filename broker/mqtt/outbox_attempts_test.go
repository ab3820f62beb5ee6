package mqtt_test

import (
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// attemptsSpy notes publishes and the attempts of an outbox.
type attemptsSpy struct {
	published chan event.PublishInfo
	relayed   chan event.RelayInfo
}

func (s attemptsSpy) OnPublish(i event.PublishInfo) { s.published <- i }

func (s attemptsSpy) OnRelay(i event.RelayInfo) { s.relayed <- i }

// The attempts of an outbox were reported to nobody, and storing a message was counted as an
// attempt to send it.
func TestAttemptsOfAnOutboxAreReported(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]mqttbroker.OutboxOption{"stored": nil, "direct": {mqttbroker.OutboxSkipWhenEmpty(patience)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := publishFails(t, 0x97, 0x97)
			spy := attemptsSpy{make(chan event.PublishInfo, 1), make(chan event.RelayInfo, 3)}
			b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithHooks(spy), mqttbroker.WithOutbox(memory(t, 0), options...))
			publish(t, b, "a", "x")
			if p := receive(t, spy.published); p.Attempts != 0 || p.Err != nil {
				t.Errorf("publish: %+v", p)
			}
			var id string
			for n := range 3 {
				r := receive(t, spy.relayed)
				if r.Topic != "a" || r.QoS != 1 || r.Size != 3 || r.Duration <= 0 || r.Duration > time.Minute || r.ID == "" || n > 0 && r.ID != id {
					t.Errorf("attempt %d: %+v", n, r)
				}
				id = r.ID
				if refused := event.ReasonOf(r.Err) == event.ReasonQuota; refused != (n < 2) {
					t.Errorf("attempt %d: %v", n, r.Err)
				}
			}
		})
	}
}
