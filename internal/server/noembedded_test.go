package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// A production build can leave out the in-process broker.
func TestNoEmbeddedBuildHasNoBroker(t *testing.T) {
	t.Parallel()
	const own = "/mqtttest/broker"
	if deps := dependencies(t); !strings.Contains(deps, own) {
		t.Fatalf("the ordinary build does not link %s: this test proves nothing", own)
	}
	if deps := dependencies(t, "-tags", "noembedded"); strings.Contains(deps, "/mqtttest") {
		t.Error("-tags noembedded links the broker")
	}
}

// The error of such a build names the setting for another broker.
func TestNoEmbeddedBuildNamesTheWayOut(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "noembedded", "-o", binary, "../../cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-conf", "../../configs/config.yaml")
	cmd.Env = append(os.Environ(), conf.EnvMQTTBroker+"=", conf.EnvHTTPAddr+"=127.0.0.1:0",
		conf.EnvGRPCAddr+"=127.0.0.1:0", conf.EnvDatabaseSource+"="+conf.MemorySource)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "noembedded") || !strings.Contains(string(out), conf.EnvMQTTBroker) {
		t.Errorf("%v: %s", err, out)
	}
}

// dependencies lists the packages that the command links. The command is the only
// folder below cmd, whatever its name.
func dependencies(t *testing.T, flags ...string) string {
	t.Helper()
	args := append([]string{"list", "-deps"}, flags...)
	out, err := exec.CommandContext(t.Context(), "go", append(args, "../../cmd/...")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
