//go:build unix

package scaffold

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// shown is the address in the guide, in place of the real one.
const shown = "http://127.0.0.1:8000"

var (
	shell   = regexp.MustCompile("(?s)```sh\n(.*?)```")
	address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
)

// TestGuide carries out docs/guide/scaffold.md, line by line, from an empty folder.
func TestGuide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := project{folder: dir, tools: filepath.Dir(build(t))}
	env := append(environment(), "PATH="+at.tools+":"+os.Getenv("PATH"))
	var running *process
	ran := 0
	for _, block := range shell.FindAllStringSubmatch(read(t, filepath.Join(root, "docs/guide/scaffold.md")), -1) {
		for line := range strings.Lines(block[1]) {
			ran++
			line = strings.Replace(strings.TrimSpace(line), "--replace ../kratos-mqtt", "--replace "+abs(t, root), 1)
			folder, isCD := strings.CutPrefix(line, "cd ")
			switch {
			case isCD:
				at.folder = filepath.Join(at.folder, folder)
			case line == "make run":
				running = at.start(t, line)
				mqtttest.Eventually(t, patience, func() bool { return len(curl.FindAllString(running.output.String(), -1)) == 2 }, "%s printed %s", line, &running.output)
			case strings.HasPrefix(line, "curl "):
				base := address.FindString(running.output.String())
				if !strings.Contains(strings.ReplaceAll(running.output.String(), base, shown), line) {
					t.Errorf("make run does not print %s:\n%s", line, &running.output)
				}
				mqtttest.Eventually(t, patience, func() bool {
					out, err := run(t, dir, env, "sh", "-c", strings.ReplaceAll(line, shown, base)+" -sS --fail")
					return err == nil && strings.Contains(out, "hello")
				}, "%s has no row", line)
			default:
				mustRun(t, at.folder, env, "sh", "-c", line)
			}
		}
	}
	if ran < 7 {
		t.Errorf("ran %d lines only", ran)
	}
	running.interrupt(t)
}

// TestCommandLine runs the lines of docs/guide/command-line.md that make and change a service.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := append(environment(), "PATH="+filepath.Dir(build(t))+":"+os.Getenv("PATH"))
	made := ""
	for _, block := range shell.FindAllStringSubmatch(read(t, filepath.Join(root, "docs/guide/command-line.md")), -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.Replace(strings.TrimSpace(line), "--replace ../kratos-mqtt", "--replace "+abs(t, root), 1)
			words := strings.Fields(line)
			switch words[1] {
			case "new":
				mustRun(t, dir, env, "sh", "-c", line)
				made = filepath.Join(dir, words[2])
			case "event", "generate":
				mustRun(t, made, env, "sh", "-c", line)
			case "add", "remove":
				if page := pageOfLayout(t); !slices.Contains(page, strings.TrimSpace(strings.Replace(line, abs(t, root), "../kratos-mqtt", 1))) {
					t.Errorf("TestLayout does not run %s, but %q", line, page)
				}
			}
		}
	}
	if made == "" {
		t.Fatal("the page makes no service")
	}
	mustRun(t, made, env, "go", "vet", "./...")
}
