package roundtrip

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
)

// A device whose handler hangs keeps sending, with more ordering keys than there are
// workers: messages of others are still handled.
func TestKeysOfOneDeviceLeaveWorkersToOthers(t *testing.T) {
	t.Parallel()
	// A large receive window: with the default of 20 the broker would wait for messages of A.
	p := &place{broker: mqtttest.InProcess(t, testbroker.MaxInflight(100)), protocol: "5", id: "workers"}
	srv, _ := p.server(t)
	got, free := make(chan string, 100), make(chan struct{})
	plant.RegisterPlantEventsMQTTServer(srv, &service{shown: func(ctx context.Context, in *plant.Reading) error {
		if in.GetDevice() == "A" {
			select {
			case <-free:
			case <-ctx.Done():
			}
			return nil
		}
		got <- in.GetDevice()
		return nil
	}}, event.Only("Shown"))
	start(t, srv)
	_, raw := p.client(t)
	for i := range 40 {
		sendJSON(t, raw, "plant/shown/A", `{}`, "partitionkey", fmt.Sprint(i))
	}
	defer close(free)
	for range 20 {
		sendJSON(t, raw, "plant/shown/B", `{}`)
	}
	for n := range 20 {
		select {
		case <-got:
		case <-time.After(patience / 2):
			t.Fatalf("handled %d of 20, %d running, %d wait", n, srv.Health().Running, srv.Health().Queued)
		}
	}
}
