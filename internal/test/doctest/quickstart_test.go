//go:build unix

package doctest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// shop is the module that the page makes.
const shop = "example.com/shop"

// imports are the packages that an editor adds: the names that the page explains, and others that are
// called like their folder.
func imports() map[string]string {
	return map[string]string{
		"kratosmqttv1": module + "/api/kratosmqtt/v1", "mqttbroker": module + "/broker/mqtt", "mqttserver": module + "/transport/mqtt",
		"v1": shop + "/api/shop/v1", "log": "github.com/go-kratos/kratos/v2/log",
		"configfile": module + "/configfile", "data": shop + "/internal/data", "server": shop + "/internal/server", "service": shop + "/internal/service",
		"context": "context", "errors": "errors", "kratos": "github.com/go-kratos/kratos/v2", "emptypb": "google.golang.org/protobuf/types/known/emptypb",
	}
}

// TestQuickstart carries out the page in an empty folder, and starts its service again and again, each
// time with a broker that does not know it: the first event must be handled each time.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	if !strings.Contains(module, "/") {
		t.Skip("a module made by kratos new, whose name no go.mod can require")
	}
	for _, program := range []string{"make", "protoc"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program)
		}
	}
	page := load(t, quickstart)
	const lines = 80
	if n := strings.Count(page.text, "\n"); n > lines {
		t.Errorf("%s has %d lines, more than %d", quickstart, n, lines)
	}
	dir := t.TempDir()
	in := func(line string) { inFolder(t, dir, line) }
	begin := "go mod init " + shop
	if !strings.Contains(page.prose(), "`"+begin+"`") {
		t.Fatalf("%s does not begin with %s", quickstart, begin)
	}
	in(begin)
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	in("go mod edit -require=" + module + "@v0.0.0 -replace=" + module + "=" + abs) // there is no published version here

	var commands []string
	config := ""
	for _, b := range page.blocks(t) {
		switch b.kind {
		case "sh":
			commands = append(commands, strings.TrimSpace(b.text))
		case "make":
			write(t, filepath.Join(dir, "Makefile"), b.text)
		default:
			path := pathOf(t, b)
			if b.kind == "yaml" {
				config = b.text
			}
			if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, path), complete(t, path, b))
		}
	}
	for _, command := range commands {
		in(strings.Replace(command, "go run ./cmd/shop", "go build -o bin/ ./cmd/shop", 1))
	}
	for n := range 100 {
		firstEvent(t, filepath.Join(dir, "bin", "shop"), config, n)
	}
}

// pathOf returns the path in the first line of a block.
func pathOf(t *testing.T, b block) string {
	t.Helper()
	first, _, _ := strings.Cut(b.text, "\n")
	m := regexp.MustCompile(`(?://|#) ([\w./]+)$`).FindStringSubmatch(first)
	if m == nil {
		t.Fatalf("%s: the first line of a block names no file: %s", b.where, first)
	}
	return m[1]
}

// complete adds package and imports to Go code.
func complete(t *testing.T, path string, b block) string {
	t.Helper()
	if b.kind != "go" {
		return b.text
	}
	name := filepath.Base(filepath.Dir(path))
	if filepath.Base(path) == "main.go" {
		name = "main"
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, "package "+name+"\n"+b.text, 0)
	if err != nil {
		t.Fatalf("%s: %v", b.where, err)
	}
	known, used := imports(), make(map[string]bool)
	declared := make(map[string]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok {
					declared[name.Name] = true
				}
			}
		case *ast.Field:
			for _, name := range n.Names {
				declared[name.Name] = true
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && !declared[x.Name] {
				used[x.Name] = true
			}
		}
		return true
	})
	text := "package " + name + "\n\nimport (\n"
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if known[name] == "" {
			t.Errorf("%s: %s uses %s, which neither the page explains nor an editor finds", b.where, path, name)
		}
		text += fmt.Sprintf("\t%s %q\n", name, known[name])
	}
	return text + ")\n\n" + b.text
}

// inFolder runs a command of the page, with the modules that this one is built with. On a fresh machine the
// cache lacks what only tests of other modules import, which go mod tidy reads: it comes from where go gets
// modules.
func inFolder(t *testing.T, dir, line string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(withoutMake(os.Environ()), "GOWORK=off", "GOFLAGS=-mod=mod", "GOSUMDB=off", "GOPROXY=file://"+ownVersions(t)+","+goproxy(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
}

func goproxy(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// ownVersions returns a folder for GOPROXY that lists, of each module, the version of go.mod. The modules
// themselves are in the module cache.
func ownVersions(t *testing.T) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-json", "all")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version string }
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return proxy
		} else if err != nil {
			t.Fatal(err)
		}
		escaped := regexp.MustCompile(`[A-Z]`).ReplaceAllStringFunc(m.Path, func(upper string) string { return "!" + strings.ToLower(upper) })
		versions := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
		if err := os.MkdirAll(versions, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(versions, "list"), m.Version+"\n")
	}
}

// firstEvent runs the service until it has handled an event, and stops it.
func firstEvent(t *testing.T, program, config string, n int) {
	t.Helper()
	const address, id = "127.0.0.1:1883", "shop-0"
	if !strings.Contains(config, address) || !strings.Contains(config, id) {
		t.Fatalf("the configuration has no %s and %s: %s", address, id, config)
	}
	b := mqtttest.InProcess(t)
	defer b.Close()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "configs"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "configs", "mqtt.yaml"), strings.NewReplacer(address, b.Addr(), id, fmt.Sprint("shop-", n)).Replace(config))
	var out output
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(out.String(), "handled order 1") }, "run %d printed:\n%s", n, &out)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	// Kratos waits for signals after the hook that publishes, so this one may end the program at once.
	if err := <-ended; err != nil && err.Error() != "signal: interrupt" {
		t.Errorf("run %d: %v\n%s", n, err, &out)
	}
}
