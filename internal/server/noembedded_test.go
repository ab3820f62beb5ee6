package server

import (
	"os/exec"
	"strings"
	"testing"
)

// A production build can leave the embedded broker out.
func TestNoEmbeddedBuildHasNoBroker(t *testing.T) {
	t.Parallel()
	const library, own = "mochi-mqtt", "/mqtttest"
	if deps := dependencies(t); !strings.Contains(deps, library) {
		t.Fatalf("the ordinary build does not link %s: this test proves nothing", library)
	}
	deps := dependencies(t, "-tags", "noembedded")
	for _, unwanted := range []string{library, own} {
		if strings.Contains(deps, unwanted) {
			t.Errorf("-tags noembedded links %s", unwanted)
		}
	}
}

// dependencies lists what the command links: every folder below cmd, of which
// there is one, whatever its name.
func dependencies(t *testing.T, flags ...string) string {
	t.Helper()
	args := append([]string{"list", "-deps"}, flags...)
	out, err := exec.CommandContext(t.Context(), "go", append(args, "../../cmd/...")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
