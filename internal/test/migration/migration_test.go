package migration

import (
	"context"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const (
	// root is the folder of the module, relative to this package.
	root = "../../.."
	page = root + "/docs/guide/migrating.md"
	from = "github.com/tx7do/kratos-transport/"
	to   = "github.com/kratos-mqtt/kratos-mqtt/"
	// patience bounds the build of the program, and each of its runs.
	patience = 5 * time.Minute
)

// mqttPackages are those whose import prefix changes.
func mqttPackages() []string { return []string{"broker/mqtt", "transport/mqtt"} }

// TestProgram builds the program after a change of the import prefix, and compares what it
// prints with the page.
func TestProgram(t *testing.T) {
	t.Parallel()
	program, want := migrated(t), observations(t)
	for name, address := range map[string]func(t *testing.T) string{
		"in-process": func(t *testing.T) string { return mqtttest.InProcess(t).URL() },
		"Mosquitto":  func(t *testing.T) string { return mqtttest.Mosquitto(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, log := run(t, program, address(t))
			if got := slices.Collect(strings.Lines(out)); !slices.Equal(got, want) {
				t.Errorf("the program printed\n%s\nbut %s has\n%s\n%s", out, page, strings.Join(want, ""), log)
			}
			for _, option := range ignored(t) {
				if !strings.Contains(log, "option "+option+" has no effect here") {
					t.Errorf("the log does not say that %s has no effect, as %s does:\n%s", option, page, log)
				}
			}
		})
	}
}

// migrated builds the program with the changed prefix, as a package of this module.
func migrated(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/program/main.go")
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	for _, name := range mqttPackages() {
		if !strings.Contains(changed, `"`+from+name+`"`) {
			t.Fatalf("the program does not import %s%s", from, name)
		}
		changed = strings.ReplaceAll(changed, `"`+from+name+`"`, `"`+to+name+`"`)
	}
	dir := t.TempDir()
	source, overlay, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	here, err := filepath.Abs("migrated")
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(here, "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, source, changed)
	write(t, overlay, string(replace))
	run(t, "go", "build", "-overlay", overlay, "-o", program, "./migrated")
	return program
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run returns what a command prints to standard output, and to standard error.
func run(t *testing.T, name string, args ...string) (out, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

// TestPageHasEveryOption checks that the page has a row for each option of
// kratos-transport, and that the program uses it.
func TestPageHasEveryOption(t *testing.T) {
	t.Parallel()
	used := uses(t)
	for _, option := range options(t) {
		if !slices.ContainsFunc(rows(t, "`"+option.pkg+"`"), func(row []string) bool { return row[0] == "`"+option.name+"`" }) {
			t.Errorf("%s has no row for %s.%s", page, option.pkg, option.name)
		}
		if !used[option] {
			t.Errorf("the program does not use %s.%s", option.pkg, option.name)
		}
	}
}

// option is one of kratos-transport, with the name by which the program imports its package.
type option struct{ pkg, name string }

func options(t *testing.T) (all []option) {
	t.Helper()
	for line := range strings.Lines(read(t, "testdata/options.txt")) {
		if pkg, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && pkg != "#" {
			all = append(all, option{pkg, name})
		}
	}
	const least = 60
	if len(all) < least {
		t.Fatalf("only %d options", len(all))
	}
	return all
}

// uses returns what the program uses of other packages.
func uses(t *testing.T) map[option]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "testdata/program/main.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[option]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok {
				used[option{x.Name, s.Sel.Name}] = true
			}
		}
		return true
	})
	return used
}

// observations returns the lines that the program prints according to the page.
func observations(t *testing.T) (lines []string) {
	t.Helper()
	for _, row := range rows(t, "line of the program") {
		lines = append(lines, row[0]+": "+row[2]+"\n")
	}
	return lines
}

// ignored returns the options that have no effect according to the page.
func ignored(t *testing.T) (names []string) {
	t.Helper()
	for _, head := range []string{"`mqttbroker`", "`mqttserver`"} {
		for _, row := range rows(t, head) {
			if strings.HasPrefix(row[2], "no effect") {
				names = append(names, strings.Trim(row[0], "`"))
			}
		}
	}
	const known = 8
	if len(names) != known {
		t.Errorf("%d options have no effect in %s, want %d: %q", len(names), page, known, names)
	}
	return names
}

// rows returns the rows of the table of the page that begins with head.
func rows(t *testing.T, head string) (found [][]string) {
	t.Helper()
	const columns = 3
	_, rest, ok := strings.Cut(read(t, page), "\n| "+head+" |")
	if !ok {
		t.Fatalf("%s has no table that begins with %s", page, head)
	}
	for i, line := range slices.Collect(strings.Lines(rest)) {
		switch cells := regexp.MustCompile(` *\| *`).Split(strings.TrimSpace(line), -1); {
		case i < 2: // the rest of the head, and the rule below it
		case !strings.HasPrefix(line, "|"):
			return found
		case len(cells) != columns+2:
			t.Fatalf("%s: %d cells in %s", page, len(cells)-2, line)
		default:
			found = append(found, cells[1:1+columns])
		}
	}
	return found
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
