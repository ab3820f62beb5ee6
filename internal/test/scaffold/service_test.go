//go:build unix

package scaffold

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// The shortest and the longest name, and one as long as the path of kratos-layout, at which the
// descriptors of copied code do not break.
const (
	short  = "a-1"
	middle = "orders-2-warehouse-eu-central-1-ab"
	long   = "order-and-invoice-collection-service-2-b"
)

// services are those that are made, each in the first test that needs it.
func services() []service {
	all := []service{
		{name: short, kratos: "v2"},
		{name: long, kratos: "v3"},
		{name: short, kratos: "v3", minimal: true},
	}
	if os.Getenv("SCAFFOLD") == "all" {
		all = append(all,
			service{name: middle, kratos: "v2"}, service{name: long, kratos: "v2"},
			service{name: short, kratos: "v3"}, service{name: middle, kratos: "v3"},
			service{name: long, kratos: "v2", minimal: true})
	}
	return all
}

// service is one that is made.
type service struct {
	name, kratos string
	minimal      bool
}

func (s service) String() string {
	if s.minimal {
		return fmt.Sprint(s.kratos, "-minimal-", s.name)
	}
	return fmt.Sprint(s.kratos, "-", s.name)
}

// TestServices makes each service in a worktree of Git. Once its modules are there, everything works
// offline.
func TestServices(t *testing.T) {
	t.Parallel()
	tool := build(t)
	for _, s := range services() {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			at := project{folder: filepath.Join(worktree(t), s.name), tools: filepath.Dir(tool)}
			args := []string{"new", s.name, "--folder", at.folder, "--kratos", s.kratos, "--replace", abs(t, root)}
			if s.minimal {
				args = append(args, "--minimal")
			}
			mustRun(t, root, os.Environ(), tool, args...)
			if again, err := run(t, root, os.Environ(), tool, args...); err == nil || !strings.Contains(again, "nothing is overwritten") {
				t.Errorf("made again: %s, %v", again, err)
			}
			at.files(t, s)
			at.goTool(t, "build", "./...")
			at.goTool(t, "vet", "./...")
			at.goTool(t, "test", "./...")
			if s.kratos == "v3" {
				if deps := at.goTool(t, "list", "-deps", "-test", "./..."); strings.Contains(deps, "go-kratos/kratos/v2") {
					t.Error("a service of Kratos v3 links v2")
				}
			}
			at.serves(t, s)
			if s.minimal {
				if out, err := run(t, at.folder, at.env(), tool, "event", "order-paid", "--yes"); err == nil || !strings.Contains(out, "minimal") {
					t.Errorf("event: %s, %v", out, err)
				}
				return
			}
			at.events(t)
			at.make(t, "check")
		})
	}
}

// files checks how many files there are, and that `kratos run` finds one command.
func (p project) files(t *testing.T, s service) {
	t.Helper()
	var files []string
	for name := range strings.Lines(mustRun(t, p.folder, os.Environ(), "git", "ls-files", "--others", "--exclude-standard")) {
		files = append(files, strings.TrimSpace(name))
	}
	if bound := 45; len(files) > bound || s.minimal && len(files) > 15 || len(files) < 10 {
		t.Errorf("%d files: %v", len(files), files)
	}
	commands, err := filepath.Glob(filepath.Join(p.folder, "cmd", "*"))
	if err != nil || len(commands) != 1 || filepath.Base(commands[0]) != s.name {
		t.Errorf("commands: %v, %v", commands, err)
	}
	for _, name := range files {
		if dir := filepath.Dir(name); strings.HasSuffix(name, "cmd") || strings.HasSuffix(dir, "cmd") {
			t.Errorf("%s would confuse `kratos run`", name)
		}
		if text := read(t, filepath.Join(p.folder, name)); strings.Contains(text, "[[") || strings.Contains(text, "<no value>") {
			t.Errorf("%s has an unfilled place", name)
		}
	}
}

var curl = regexp.MustCompile(`curl .*http://\S+`)

// serves runs the service, first with make and then as `kratos run` does, and takes the lines that it
// prints: what goes in by HTTP comes out as a row.
func (p project) serves(t *testing.T, s service) {
	t.Helper()
	for _, command := range []string{"make run", "cd cmd/" + s.name + " && exec ../../bin/" + s.name} {
		running := p.start(t, command)
		var lines []string
		mqtttest.Eventually(t, patience, func() bool {
			lines = curl.FindAllString(running.output.String(), -1)
			return len(lines) == 2 || s.minimal && len(lines) == 1
		}, "%s printed: %s", command, &running.output)
		sent := ""
		mqtttest.Eventually(t, patience, func() (err error) {
			sent, err = run(t, p.folder, p.env(), "sh", "-c", lines[0]+" -sS --fail")
			return err
		})
		id := regexp.MustCompile(`"id":\s*"([^"]+)"`).FindStringSubmatch(sent)
		if id == nil {
			t.Fatalf("%s answers %s", lines[0], sent)
		}
		mqtttest.Eventually(t, patience, func() error {
			out := running.output.String()
			if !s.minimal {
				out = mustRun(t, p.folder, p.env(), "sh", "-c", lines[1]+" -sS --fail")
			}
			if !strings.Contains(out, id[1]) {
				return fmt.Errorf("no %s: %s", id[1], out)
			}
			return nil
		})
		if !s.minimal {
			p.commands(t, running.output.String())
		}
		running.interrupt(t)
	}
}

var (
	command = regexp.MustCompile("(?m)^\\| `(?:go tool )?([^`]+)` \\|")
	mqttURL = regexp.MustCompile(`mqtt://127\.0\.0\.1:\d+`)
)

// commands runs those of AGENTS.md that ask a running service.
func (p project) commands(t *testing.T, banner string) {
	t.Helper()
	all := command.FindAllStringSubmatch(read(t, filepath.Join(p.folder, "AGENTS.md")), -1)
	if len(all) != 10 {
		t.Errorf("AGENTS.md has %d commands, want 10: %v", len(all), all)
	}
	asked := 0
	for _, m := range all {
		line := strings.NewReplacer("mqtt://127.0.0.1:1883", mqttURL.FindString(banner), shown, address.FindString(banner)).Replace(m[1])
		switch {
		case strings.HasPrefix(line, "make "), strings.HasPrefix(line, "wire"), strings.Contains(line, " event NAME"):
			continue // other parts of the test run them
		case strings.Contains(line, " tail "):
			line = "echo | timeout -s INT 3 " + p.tools + "/" + line + " || [ $? -eq 124 ]"
		default:
			line = p.tools + "/" + line
		}
		asked++
		mustRun(t, p.folder, p.env(), "sh", "-c", line)
	}
	if asked != 4 {
		t.Errorf("asked %d times: %v", asked, all)
	}
}

// events adds two events, one of which HTTP serves, and runs their tests. Added again, they change
// nothing.
func (p project) events(t *testing.T) {
	t.Helper()
	tool := filepath.Join(p.tools, "kratos-mqtt")
	if out, err := run(t, p.folder, p.env(), tool, "event", "order-paid"); err == nil || !strings.Contains(out, "want --yes") {
		t.Errorf("changed without a question: %s, %v", out, err)
	}
	mustRun(t, p.folder, os.Environ(), "git", "add", "--all")
	for _, args := range [][]string{{"event", "order-paid", "--yes"}, {"event", "built-for-linux", "--http", "--yes"}} {
		diff := mustRun(t, p.folder, p.env(), tool, args...)
		if !strings.Contains(diff, "+++ b/internal/server/mqtt.go") || !strings.Contains(diff, "new        internal/service/") {
			t.Errorf("%v shows %s", args, diff)
		}
		again := mustRun(t, p.folder, p.env(), tool, args...)
		if !strings.Contains(again, "nothing to change") {
			t.Errorf("%v changes again: %s", args, again)
		}
	}
	out := p.goTool(t, "test", "-v", "-run", "OrderPaid|BuiltForLinux", "./internal/server")
	for _, test := range []string{"TestOrderPaidIsHandled", "TestOrderPaidBecomesADeadLetter", "TestBuiltForLinuxIsHandled"} {
		if !strings.Contains(out, "--- PASS: "+test) {
			t.Errorf("%s did not pass: %s", test, out)
		}
	}
}
