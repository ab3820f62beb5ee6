//go:build unix

package guide

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the folder of the module, relative to this package.
const root = "../../.."

// module is the path of this module, fleet the path of the service in the guide.
const (
	module = "github.com/kratos-mqtt/kratos-mqtt"
	fleet  = "example.com/fleet"
)

// service is code that a user would add to the skeleton of `kratos proto server`: it
// compiles only if the skeleton implements the interface for MQTT.
const service = `package service

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"

	pb "example.com/fleet/api/fleet/v1"
)

func Register(s event.ServiceRegistrar) { pb.RegisterFleetEventsMQTTServer(s, NewFleetEventsService()) }

var (
	_ pb.FleetEventsServer     = (*FleetEventsService)(nil)
	_ pb.FleetEventsMQTTServer = (*FleetEventsService)(nil)
)
`

// TestKratosCommands runs the commands of the guide in a new module and compiles their
// output. Kratos' command line tool is not published as a module. If it is not installed,
// the test performs its two steps itself: it calls protoc, and it writes a skeleton from
// testdata, which is compared with the tool's output if the tool is installed.
func TestKratosCommands(t *testing.T) {
	t.Parallel()
	if !strings.Contains(module, "/") {
		t.Skip("a module made by kratos new, whose name no go.mod can require")
	}
	if _, err := exec.LookPath("protoc"); err != nil {
		missing(t, "protoc")
	}
	dir := newService(t)
	seen := 0
	for _, block := range blocks(t, "sh") {
		for line := range strings.Lines(block) {
			seen++
			switch words := strings.Fields(line); words[0] {
			case "kratos":
				kratos(t, dir, words[2:])
			case "protoc":
				run(t, dir, "protoc", words[1:]...)
			case "go":
				run(t, dir, "go", words[1:]...)
			default:
				t.Errorf("nothing runs %q", line)
			}
		}
	}
	if seen != 5 {
		t.Errorf("the guide shows %d commands, want protoc, kratos proto client and server, and contract twice", seen)
	}
	skeleton := filepath.Join(dir, "internal", "service", "fleetevents.go")
	if want, got := read(t, "testdata/fleetevents.go.txt"), read(t, skeleton); !bytes.Equal(want, got) {
		t.Errorf("the skeleton is no longer that of testdata:\n%s", got)
	}
	write(t, filepath.Join(dir, "internal", "service", "service.go"), []byte(service))
	run(t, dir, "go", "vet", "./...")
}

// newService creates a module with the proto of the guide, and the plugins.
func newService(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	head := "module " + fleet + "\n\nrequire " + module + " v0.0.0\n\nreplace " + module + " => " + abs
	write(t, filepath.Join(dir, "go.mod"), bytes.Replace(read(t, root+"/go.mod"), []byte("module "+module), []byte(head), 1))
	write(t, filepath.Join(dir, "go.sum"), read(t, root+"/go.sum"))
	proto := bytes.Replace(read(t, "../golden/cases/guide/guide.proto"), []byte("package golden.guide;"),
		[]byte("package fleet.v1;\n\noption go_package = \""+fleet+"/api/fleet/v1;v1\";"), 1)
	write(t, filepath.Join(dir, "api", "fleet", "v1", "fleet.proto"), proto)
	if err := os.MkdirAll(filepath.Join(dir, "internal", "service"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "third_party"), os.DirFS(filepath.Join(root, "third_party"))); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin") + string(filepath.Separator)
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, root, "go", "build", "-o", bin, "./tools/protoc-gen-go-mqtt", "./tools/protoc-gen-mqtt-asyncapi")
	run(t, root, "go", "build", "-modfile=go.tool.mod", "-o", bin, "google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
	// The tool also requires these plugins, which generate nothing for this proto. The
	// stand-ins write nothing, which protoc accepts as an empty response.
	for _, plugin := range []string{"go-http", "go-errors", "openapi"} {
		script := filepath.Join(bin, "protoc-gen-"+plugin)
		write(t, script, []byte("#!/bin/sh\ncat >/dev/null\n"))
		if err := os.Chmod(script, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kratos does what `kratos proto` does with these arguments.
func kratos(t *testing.T, dir string, args []string) {
	t.Helper()
	if _, err := exec.LookPath("kratos"); err == nil {
		run(t, dir, "kratos", append([]string{"proto"}, args...)...)
		return
	}
	switch args[0] {
	case "client":
		protoc := []string{"--proto_path=.", "--proto_path=./third_party"}
		for _, plugin := range []string{"go", "go-grpc", "go-http", "go-errors", "openapi"} {
			protoc = append(protoc, "--"+plugin+"_out=paths=source_relative:.")
		}
		run(t, dir, "protoc", slices.Concat(protoc, []string{"api/fleet/v1/fleet.proto"}, args[slices.Index(args, "--")+1:])...)
	case "server":
		write(t, filepath.Join(dir, args[3], "fleetevents.go"), read(t, "testdata/fleetevents.go.txt"))
	default:
		t.Fatalf("kratos proto %q is not known here", args)
	}
}

// run runs a command with the plugins of dir first in the search path.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "GOWORK=off")
	if dir != root {
		cmd.Env = append(cmd.Env, "GOFLAGS=-mod=mod")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// missing skips a test if a program is not installed, except in CI.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI requires %s", program)
	}
	t.Skipf("%s is not installed", program)
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
