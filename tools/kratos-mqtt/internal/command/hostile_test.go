package command

import (
	"strings"
	"testing"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

// A name that others chose is completed neither as a flag nor as something that a shell expands.
func TestHostileNamesAreNotCompleted(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"--all": false, "-y": false, "{1..999999999}": false, "a{1..9}b": false, "#all": false, "a b": false, "$(id)": false,
		"devices/{device_id}/data": true, "devices/#": true, "#": false, "/pkg.v1.Events/Record": true, "01a22e59-462d-7673-bb54-c599fba88af6": true, "+/x": true,
	} {
		if got := choice(name, "") != ""; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// The spaces of deeply nested JSON do not grow with the square of its depth.
func TestDeepPayloadIsShown(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 9000) + strings.Repeat("]", 9000)
	if text := payloadText(&operatorv1.GetLetterReply{Text: deep}); len(text) > 100_000 || !strings.Contains(text, deep) {
		t.Errorf("%d bytes are shown as %d", len(deep), len(text))
	}
	if text := payloadText(&operatorv1.GetLetterReply{Text: `{"a":[1]}`}); text != "\n{\n  \"a\": [\n    1\n  ]\n}\n" {
		t.Errorf("%q", text)
	}
}
