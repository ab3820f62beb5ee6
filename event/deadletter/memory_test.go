package deadletter_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
)

func TestMemoryIsAStore(t *testing.T) {
	t.Parallel()
	deadlettertest.TestStore(t, func(_ *testing.T, limit int) deadletter.Store { return deadletter.NewMemory(limit) })
}
