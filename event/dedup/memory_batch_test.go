package dedup_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup/deduptest"
)

func TestMemoryTakesBatches(t *testing.T) {
	t.Parallel()
	deduptest.Batches(t, func(t *testing.T) dedup.BatchWindow {
		w, ok := window(t, dedup.MemoryOptions{}).(dedup.BatchWindow)
		if !ok {
			t.Fatal("the window takes no batches")
		}
		return w
	})
}
