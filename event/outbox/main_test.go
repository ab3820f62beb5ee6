package outbox_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv("OUTBOX_CHILD"); kind != "" {
		os.Exit(delayForEver(kind, os.Getenv("OUTBOX_PATH")))
	}
	goleak.VerifyTestMain(m)
}
