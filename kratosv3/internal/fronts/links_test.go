package fronts

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// module is the path of the module around this one.
const module = "github.com/kratos-mqtt/kratos-mqtt/"

// list returns the packages that packages and their tests link.
func list(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-deps"}, args...)...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A program that links two versions of Kratos panics at its start. Neither the fronts for v3 nor
// their tests, which use mqtttest, link v2 or kratos-transport.
func TestLinksNoKratosV2(t *testing.T) {
	t.Parallel()
	deps := list(t, "../..", "-test", "./...")
	if !strings.Contains(deps, "github.com/go-kratos/kratos/v3/transport\n") || !strings.Contains(deps, module+"mqtttest\n") {
		t.Fatalf("the list is not complete: %d bytes", len(deps))
	}
	for line := range strings.Lines(deps) {
		if strings.Contains(line, "go-kratos/kratos/v2") || strings.Contains(line, "tx7do/kratos-transport") {
			t.Errorf("linked: %s", line)
		}
	}
}

// Generated event code is the same for both versions: the generator and what its code imports
// know neither of them.
func TestGeneratedCodeKnowsNoKratos(t *testing.T) {
	t.Parallel()
	deps := list(t, "../../..", "./tools/protoc-gen-go-mqtt", "./event/...", "./api/kratosmqtt/...")
	if !strings.Contains(deps, module+"event/eventimpl\n") {
		t.Fatal("the list is not complete")
	}
	if strings.Contains(deps, "github.com/go-kratos/") {
		t.Error("the generator, or what generated code imports, links a Kratos")
	}
	code, err := os.ReadFile("../protos/meter/v1/meter_mqtt.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	imported := regexp.MustCompile(`(?m)^\t(?:\w+ )?"([^"]+\.[^"]+)"$`).FindAllStringSubmatch(string(code), -1)
	if len(imported) < 3 {
		t.Fatalf("generated code imports %q", imported)
	}
	for _, m := range imported {
		switch path := m[1]; {
		case path == module+"event", path == module+"event/eventimpl", path == module+"api/kratosmqtt/v1":
		case strings.HasPrefix(path, "google.golang.org/protobuf/"):
		default:
			t.Errorf("generated code imports %s", path)
		}
	}
}

// A service that only publishes links no server, and the fronts know nothing of the sample.
func TestLayers(t *testing.T) {
	t.Parallel()
	for pkg, forbidden := range map[string][]string{
		"./broker/mqtt":    {module + "kratosv3/transport/", module + "internal/mqtt/operation"},
		"./transport/mqtt": {module + "internal/biz", module + "internal/data", module + "api/report", module + "api/device"},
	} {
		for line := range strings.Lines(list(t, "../..", pkg)) {
			for _, prefix := range forbidden {
				if strings.HasPrefix(line, prefix) {
					t.Errorf("%s links %s", pkg, line)
				}
			}
		}
	}
}
