package mqtt_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// However Connect and Disconnect overlap, the last Disconnect leaves no relay running.
// The test is not parallel, because it counts goroutines.
func TestOutboxOfManyStartsAndStops(t *testing.T) { //nolint:paralleltest // counts goroutines of the process
	server := mqtttest.InProcess(t)
	b := connected(t, server.URL(), mqttbroker.WithOutbox(memory(t, 0)))
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	for range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = b.Connect()
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				_ = b.Disconnect()
			}
		})
	}
	all.Wait()
	if err := b.Disconnect(); err != nil {
		t.Fatal(err)
	}
	relays := func() int {
		stacks := make([]byte, 1<<22)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "outbox.(*Relay).runWorker(")
	}
	mqtttest.Eventually(t, patience, func() bool { return relays() == 0 })
}
