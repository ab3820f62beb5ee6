//go:build unix

package doctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// patience bounds every wait; other tests share the processors.
const patience = time.Minute

// shown is the address in the documents, in place of the real one.
const shown = "http://127.0.0.1:8000"

// module is the path of this module.
const module = "github.com/kratos-mqtt/kratos-mqtt"

// TestShell checks the commands in the documents: it runs make run, sends the curl lines below it to the
// started service, and checks that make test is what CI runs.
func TestShell(t *testing.T) {
	t.Parallel()
	var curls, others []string
	seen := map[string]bool{}
	for _, b := range blocksOf(t, "sh") {
		if b.where == quickstart || b.where == newService || b.where == existingProject {
			continue
		}
		for line := range strings.Lines(b.text) {
			command, _, _ := strings.Cut(line, "  #") // a comment
			command = strings.TrimSpace(command)
			seen[command] = true
			switch {
			case strings.HasPrefix(command, "curl ") && !strings.Contains(command, "/v1/"):
				others = append(others, command)
			case strings.HasPrefix(command, "curl "):
				curls = append(curls, command)
			case strings.HasPrefix(command, "kratos proto "), strings.HasPrefix(command, "protoc "):
				// The tests of guide run them.
			case strings.HasPrefix(command, "go run "+module+"/tools/contract "):
				// The tests of that command run it.
			case strings.HasPrefix(command, "kratos-mqtt ") && b.where == commandLine && slices.Contains(commands(), strings.Fields(command)[1]):
				// The tests that commands lists run it.
			case strings.HasPrefix(command, "rabbitmqctl "):
				// The end-to-end tests run it.
			case command != "make run" && command != "make test":
				t.Errorf("%s: nothing checks the command %q", b.where, command)
			}
		}
	}
	if !seen["make run"] || !seen["make test"] {
		t.Errorf("make run and make test are not shown: %v", seen)
	}
	t.Run("make run", func(t *testing.T) { makeRun(t, curls, others) })
	t.Run("make test", makeTest)
}

// commands are the commands of kratos-mqtt that a test runs as its page shows them.
func commands() []string {
	return slices.Concat(operators,
		[]string{"doctor", "explain", "broker", "dev"},                     // TestPage of the command
		[]string{"tail", "record", "play", "publish", "simulate", "bench"}, // TestPageRuns of the command
		[]string{"new", "add", "event", "remove", "generate"})              // TestCommandLine of package scaffold
}

// makeRun starts the service, checks that it prints the lines in the documents, and runs them: the last one
// must show what the first one posts. The others, for operators, must succeed then.
func makeRun(t *testing.T, curls, others []string) {
	s := startService(t, "make run")
	var printed []string
	for line := range strings.SplitSeq(s.output.String(), "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "curl ") {
			printed = append(printed, strings.ReplaceAll(line, s.base, shown))
		}
	}
	if got, want := fmt.Sprintf("%q", printed), fmt.Sprintf("%q", curls); got != want {
		t.Fatalf("the service prints\n%s\nthe documents show\n%s", got, want)
	}
	if len(curls) != 2 {
		t.Fatalf("want a curl that posts and one that lists, have %q", curls)
	}
	run(t, strings.ReplaceAll(curls[0], shown, s.base))
	mqtttest.Eventually(t, patience, func() error {
		if out := run(t, strings.ReplaceAll(curls[1], shown, s.base)); !strings.Contains(out, `"hello"`) {
			return fmt.Errorf("no row yet: %s", out)
		}
		return nil
	})
	for _, line := range others {
		if out := run(t, strings.ReplaceAll(line, shown, s.base)); out == "" {
			t.Errorf("%s prints nothing", line)
		}
	}
	s.interrupt(t)
}

// run runs a line in a shell, and fails on an HTTP error.
func run(t *testing.T, line string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "curl")
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", strings.Replace(line, "curl ", "curl -sS --fail ", 1))
	cmd.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	return string(out)
}

// makeTest does not run the command, because it runs this test. CI reads the command from the same line.
func makeTest(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	const read = `grep -m1 -oE '^make test[^#]*' README.md`
	if !strings.Contains(string(script), read) {
		t.Errorf(".ci/run does not take its test command from README.md with %s", read)
	}
	if !strings.Contains("\n"+load(t, "README.md").text, "\nmake test") {
		t.Error("README.md has no line that begins with make test")
	}
}

// missing skips a test if a program is not installed, except in CI.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed and CI=true", program)
	}
	t.Skipf("%s is not installed", program)
}
