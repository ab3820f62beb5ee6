package faultmatrix_test

import (
	"testing"

	"github.com/go-kratos/kratos/v2/metadata"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 57: the context of a publish contains metadata of another component that no MQTT packet
// may carry. The message is sent without it.
func TestFault_57_UnfitContext(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]func(h *harness) []broker.Option{
		"direct":      func(*harness) []broker.Option { return nil },
		"outbox":      func(h *harness) []broker.Option { return []broker.Option{mqttbroker.WithOutbox(h.memoryOutbox())} },
		"CloudEvents": func(*harness) []broker.Option { return []broker.Option{mqttbroker.WithCloudEvents("//test/row57")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				b := mqtttest.InProcess(h)
				s := h.newSubscriber(b.URL(), "-sub", opts(h)...)
				s.record(h.name + "/data")
				s.run()
				for i, unfit := range []string{"caf\xe9", "a\x00b", "line\nbreak", string(make([]byte, 70_000))} {
					ctx := metadata.NewClientContext(h.within(patience), metadata.New(map[string][]string{"x-md-global-city": {unfit}}))
					h.rec.Attempted(id(i))
					if err := h.said.err(s.s.Publish(ctx, h.name+"/data", broker.NewMessage([]byte(id(i))))); err != nil {
						h.Errorf("%.20q in the metadata: %v", unfit, err)
						continue
					}
					h.rec.Accepted(id(i))
				}
				h.settled()
			})
		})
	}
}
