//go:build unix

package scaffold

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/kratoslayout"
)

// layout is a project in the form of kratos-layout, committed in a worktree of Git.
func layout(t *testing.T, tool, kratos string) project {
	t.Helper()
	at := project{folder: worktree(t), tools: filepath.Dir(tool)}
	kratoslayout.Write(t, at.folder, kratos)
	write(t, filepath.Join(at.folder, "go.sum"), read(t, filepath.Join(root, "go.sum"))+read(t, filepath.Join(root, "kratosv3/go.sum")))
	mustRun(t, at.folder, environment(), tool, "generate")
	older := filepath.Join(at.folder, "internal/conf/conf.pb.go")
	write(t, older, read(t, older)+"\n// Another version of the generator made this file.\n")
	at.tidy(t)
	at.commit(t, "layout")
	return at
}

// tidy completes go.mod, with network.
func (p project) tidy(t *testing.T) {
	t.Helper()
	mustRun(t, p.folder, append(environment(), "GOWORK=off"), "go", "mod", "tidy")
}

func (p project) commit(t *testing.T, message string) {
	t.Helper()
	p.git(t, "add", "--all")
	p.git(t, "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message", message)
}

func (p project) git(t *testing.T, args ...string) string {
	t.Helper()
	return mustRun(t, p.folder, environment(), "git", args...)
}

// changed returns the names of files that differ from a commit, also new ones.
func (p project) changed(t *testing.T, commit string) string {
	t.Helper()
	p.git(t, "add", "--all")
	return p.git(t, "diff", "--cached", "--name-status", commit)
}

// with runs kratos-mqtt in the project, and returns what it printed.
func (p project) with(t *testing.T, args ...string) string {
	t.Helper()
	return mustRun(t, p.folder, environment(), filepath.Join(p.tools, "kratos-mqtt"), args...)
}

func (p project) refuses(t *testing.T, want string, args ...string) {
	t.Helper()
	out, err := run(t, p.folder, environment(), filepath.Join(p.tools, "kratos-mqtt"), args...)
	if err == nil || !strings.Contains(out, want) {
		t.Errorf("kratos-mqtt %s: %v, want %q\n%s", strings.Join(args, " "), err, want, out)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pageOfLayout returns the commands of docs/guide/add.md.
func pageOfLayout(t *testing.T) (lines []string) {
	t.Helper()
	for _, block := range shell.FindAllStringSubmatch(read(t, filepath.Join(root, "docs/guide/add.md")), -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(block[1]), "\n")...)
	}
	return lines
}

// TestLayout carries out docs/guide/add.md in a project of kratos-layout: it adds MQTT, with a second
// event, and takes it out again. The tests pass in between, and nothing is left.
func TestLayout(t *testing.T) {
	t.Parallel()
	tool := build(t)
	for _, kratos := range []string{"v2", "v3"} {
		t.Run(kratos, func(t *testing.T) {
			t.Parallel()
			at := layout(t, tool, kratos)
			at.refuses(t, "want --yes", "add", "--replace", abs(t, root))
			if left := at.changed(t, "HEAD"); left != "" {
				t.Fatalf("changed without a question: %s", left)
			}
			env := append(environment(), "PATH="+at.tools+":"+os.Getenv("PATH"))
			lines := pageOfLayout(t)
			for _, line := range lines {
				mustRun(t, at.folder, env, "sh", "-c", strings.Replace(line, "--replace ../kratos-mqtt", "--replace "+abs(t, root), 1))
				switch command := strings.Fields(line)[1]; command {
				case "add":
					at.added(t, kratos)
				case "event":
					at.eventAdded(t)
				case "test":
				case "remove":
					if left := at.changed(t, "HEAD~2"); left != "" {
						t.Errorf("left over:\n%s", left)
					}
					at.goTool(t, "build", "./...")
				default:
					t.Errorf("nothing checks %s", line)
				}
			}
			if len(lines) != 4 {
				t.Errorf("the page has the commands %q", lines)
			}
		})
	}
}

// added checks a project that has MQTT, and commits it.
func (p project) added(t *testing.T, kratos string) {
	t.Helper()
	if again := p.with(t, "add", "--replace", abs(t, root)); !strings.Contains(again, "nothing to change") {
		t.Errorf("added twice: %s", again)
	}
	p.goTool(t, "vet", "./...")
	p.passes(t, "TestGreetingIsHandled")
	if deps := p.goTool(t, "list", "-deps", "-test", "./..."); kratos == "v3" && strings.Contains(deps, "go-kratos/kratos/v2") {
		t.Error("a project on Kratos v3 links v2")
	}
	p.commit(t, "add")
}

// eventAdded checks a project that has another event, and commits it.
func (p project) eventAdded(t *testing.T) {
	t.Helper()
	if again := p.with(t, "event", "order-paid"); !strings.Contains(again, "nothing to change") {
		t.Errorf("the event was added twice: %s", again)
	}
	p.refuses(t, "--http is for services of kratos-mqtt new", "event", "order-sent", "--http", "--yes")
	p.passes(t, "TestOrderPaidIsHandled")
	if out := p.with(t, "explain", "shop/order-paid", "-d", "api"); !strings.Contains(out, "OrderPaid") {
		t.Errorf("explain: %s", out)
	}
	p.commit(t, "event")
}

// passes runs the tests of a project, among which one has a name.
func (p project) passes(t *testing.T, test string) {
	t.Helper()
	if out := p.goTool(t, "test", "-v", "./..."); !strings.Contains(out, "--- PASS: "+test) {
		t.Errorf("%s did not pass:\n%s", test, out)
	}
}

// TestChangesAroundLayout removes MQTT from a project that somebody has worked on.
func TestChangesAroundLayout(t *testing.T) {
	t.Parallel()
	at := layout(t, build(t), "v2")
	file := func(name string) string { return filepath.Join(at.folder, filepath.FromSlash(name)) }
	replace := func(name, old, by string) {
		text := read(t, file(name))
		if !strings.Contains(text, old) {
			t.Fatalf("%s has no %q:\n%s", name, old, text)
		}
		write(t, file(name), strings.Replace(text, old, by, 1))
	}
	around := func() {
		replace("internal/data/data.go", "NewGreeterRepo", "NewGreeterRepo, NewClock")
		replace("internal/data/greeter.go", "\ntype greeterRepo", "\n// Clock tells the time.\ntype Clock struct{}\n\n// NewClock returns a clock.\nfunc NewClock() *Clock { return &Clock{} }\n\ntype greeterRepo")
		replace("internal/data/greeter.go", "NewGreeterRepo(data *Data)", "NewGreeterRepo(data *Data, _ *Clock)")
		replace("configs/config.yaml", "addr: 127.0.0.1:9000", "addr: 127.0.0.1:9009 # moved")
		replace("internal/conf/conf.proto", "message Data {", "// Data has databases.\nmessage Data {")
		replace("Makefile", "build:\n", "build: api\n")
	}
	around()
	mustRun(t, at.folder, environment(), filepath.Join(at.tools, "kratos-mqtt"), "generate")
	wiring := read(t, file("cmd/server/wire_gen.go"))
	write(t, file("cmd/server/wire_gen.go"), strings.Replace(strings.Replace(wiring,
		"data.NewGreeterRepo(dataData)", "data.NewGreeterRepo(dataData, clock)", 1),
		"\tgreeterRepo :=", "\tclock := data.NewClock()\n\tgreeterRepo :=", 1))
	at.commit(t, "what it would be without MQTT")
	at.git(t, "checkout", "--quiet", "HEAD~1", "--", ".")

	write(t, file("cmd/server/main_test.go"), "package main\n\nvar _ = newApp(nil, nil, nil)\n")
	at.refuses(t, "cmd/server/main_test.go:3:", "add", "--replace", abs(t, root), "--yes")
	if err := os.Remove(file("cmd/server/main_test.go")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(at.folder), "go.work"), "go 1.26\n")
	out := at.with(t, "add", "--replace", abs(t, root), "--yes")
	for _, want := range []string{"files have changes that are not committed", "go.work applies to this folder"} {
		if !strings.Contains(out, want) {
			t.Errorf("no note %q in\n%s", want, out)
		}
	}
	around()
	write(t, file("internal/biz/greeting.go"), read(t, file("internal/biz/greeting.go"))+"\n// mine\n")
	replace("configs/config.yaml", "mqtt://127.0.0.1:1883", "mqtts://broker.example:8883")
	at.refuses(t, "internal/biz/greeting.go was changed", "remove", "--yes")
	at.refuses(t, "section mqtt was changed", "remove", "--yes")
	at.with(t, "remove", "--yes", "--force")
	if left := at.changed(t, "HEAD"); left != "" {
		t.Errorf("differs:\n%s\n%s", left, at.git(t, "diff", "--cached", "HEAD"))
	}
}
