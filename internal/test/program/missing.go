package program

import (
	"os"
	"testing"
)

// Missing skips the test because a program is not installed. In CI it fails the test, so that
// a check is never silently skipped there.
func Missing(tb testing.TB, program, hint string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf("%s is not installed and CI=true: %s", program, hint)
	}
	tb.Skipf("%s is not installed: %s", program, hint)
}
