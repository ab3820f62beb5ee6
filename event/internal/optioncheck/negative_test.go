package optioncheck_test

import (
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
)

func TestNotNegative(t *testing.T) {
	t.Parallel()
	if err := optioncheck.NotNegative("store", map[string]int64{"Max": 0}, nil); err != nil {
		t.Error(err)
	}
	err := optioncheck.NotNegative("store", map[string]int64{"Rows": -1, "Bytes": -2, "Max": 1}, map[string]time.Duration{"TTL": -time.Second})
	want := "store: Bytes is -2, want 0 (the default) or more\nstore: Rows is -1, want 0 (the default) or more\n" +
		"store: TTL is -1s, want 0s (the default) or more"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
