package terminal_test

import (
	"encoding/json"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// Text of a stranger neither moves the cursor nor reorders what is beside it, and JSON keeps
// its value.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"fern":                  "fern",
		"ä 中文":                  "ä 中文",
		"a\x1b[2Jb":             "a\uFFFD[2Jb",
		"a\r\nb\tc":             "a\uFFFD b c",
		"a\u0085b\u202Ec\u2028": "a\uFFFDb\uFFFDc\uFFFD",
	} {
		if got := terminal.Printable(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		safe := terminal.JSON(encoded)
		var back string
		if err := json.Unmarshal(safe, &back); err != nil || back != text {
			t.Errorf("%q: %s is %q, %v", text, safe, back, err)
		}
		if got := terminal.Printable(string(safe)); got != string(safe) {
			t.Errorf("%q: %q is not safe to show", text, safe)
		}
	}
}
