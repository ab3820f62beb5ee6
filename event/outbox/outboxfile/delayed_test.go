package outboxfile_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
)

func TestDelayed(t *testing.T) {
	t.Parallel()
	outboxtest.TestDelayer(t, func(t *testing.T, maxEntries, maxDelayed int) outboxtest.DelayedStore {
		t.Helper()
		return open(t, newPath(t), outboxfile.Options{MaxEntries: maxEntries, MaxDelayed: maxDelayed})
	})
}
