package logsafe

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// A value is one word, or quoted, so that no topic looks like another field. Durations are
// rounded. Behind an error come the fields of its type.
func TestFields(t *testing.T) {
	t.Parallel()
	err := errors.New("no\nroute")
	got := Fields([]any{
		KeyTopic, "a/b", KeyTopic, "a error.type=X", KeyTopic, "a\x1b[2J", KeyTopic, "", KeyRetryIn, 92679828 * time.Nanosecond,
		KeyRetryIn, 1501663271 * time.Nanosecond, KeyUntil, time.Unix(0, 0), KeyCount, 3, KeyError, err,
	}, func(error) []any { return []any{KeyErrorType, "X"} })
	want := []any{
		KeyTopic, "a/b", KeyTopic, `"a error.type=X"`, KeyTopic, `a\x1b[2J`, KeyTopic, `""`, KeyRetryIn, "90ms",
		KeyRetryIn, "1.5s", KeyUntil, "1970-01-01T00:00:00Z", KeyCount, 3, KeyError, `no\nroute`, KeyErrorType, "X",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
