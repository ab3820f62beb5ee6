package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGenerate generates the code of a module, and notices what is not up to date.
func TestGenerate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"go.mod": "module example.com/demo\n",
		"api/demo/v1/demo.proto": `syntax = "proto3";
package demo.v1;
import "google/protobuf/empty.proto";
import "kratosmqtt/v1/options.proto";
option go_package = "example.com/demo/api/demo/v1;v1";
service DemoEvents {
  rpc Sent(Note) returns (google.protobuf.Empty) { option (kratosmqtt.v1.event) = {topic: "notes"}; }
}
message Note { string text = 1; }
`,
	} {
		if err := os.MkdirAll(filepath.Dir(file(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := begin(t, "", "generate", dir, "--check").wait(t); err == nil || !strings.Contains(err.Error(), "not up to date: api/demo/v1/demo.asyncapi.yaml, api/demo/v1/demo.pb.go") {
		t.Errorf("%v", err)
	}
	const all = "api/demo/v1/demo.asyncapi.yaml\napi/demo/v1/demo.pb.go\napi/demo/v1/demo_mqtt.pb.go\n"
	if out := run(t, "", "generate", dir); out != all {
		t.Errorf("generated %q", out)
	}
	if out := run(t, "", "generate", dir, "--check"); out != "" {
		t.Errorf("the check writes %q", out)
	}
	if err := os.WriteFile(file("api/demo/v1/demo.pb.go"), []byte("package v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "", "generate", dir, "--json"); !strings.Contains(out, `"files":["api/demo/v1/demo.pb.go"]`) || !strings.Contains(out, `"written":true`) {
		t.Errorf("generated %s", out)
	}
	if err := begin(t, "", "generate", t.TempDir()).wait(t); err == nil || !strings.Contains(err.Error(), "want the folder of a Go module") {
		t.Errorf("%v", err)
	}
}

// TestNewProblems are those that New has before it begins.
func TestNewProblems(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"want 3 to 40 lower-case letters":          {"Orders"},
		"--kratos v4: want v2 or v3":               {"orders", "--kratos", "v4"},
		"want --replace FOLDER":                    {"orders"},
		"--replace: want the folder of this modul": {"orders", "--replace", t.TempDir()},
		"the standard library has log":             {"log", "--replace", "../../../.."},
		"nothing is overwritten":                   {"orders", "--replace", "../../../..", "--folder", t.TempDir()},
	} {
		if err := begin(t, "", append([]string{"new"}, args...)...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("new %v: %v, want %s", args, err, want)
		}
	}
	for want, args := range map[string][]string{
		"want 2 to 40 lower-case letters": {"OrderPaid"},
		"want the folder of a Go module":  {"order-paid", "--folder", t.TempDir()},
	} {
		if err := begin(t, "", append([]string{"event"}, args...)...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("event %v: %v, want %s", args, err, want)
		}
	}
}
