package faultmatrix_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// matrix lists every row by its number, starting with 1. A row has one or more tests named
// TestFault_<nn>_<name>, in this package or in the package that the row is about.
var matrix = [...]string{
	"TCP cut mid-publish",
	"PUBACK lost, then cut",
	"PUBLISH lost, then cut",
	"PUBREC, PUBREL, PUBCOMP lost",
	"publish at QoS 0 while down",
	"publish at QoS 1 while down",
	"half-open, idle",
	"half-open with a full send buffer",
	"broker killed, lazy save and hold-back",
	"broker killed, default configuration",
	"broker stopped and started",
	"broker down for ten minutes",
	"broker stopped in its tracks",
	"handler returns an error once",
	"handler always returns an error",
	"handler panics",
	"handler blocks for ever",
	"dead letter cannot be published",
	"undecodable payload",
	"consumer killed in a handler",
	"publisher killed with an outbox",
	"power loss",
	"outbox: disk full",
	"outbox: input/output error, read-only",
	"session lost at the broker",
	"large backlog, slow handler",
	"flood of QoS 0, slow handler",
	"broker's queue overflows",
	"client id taken over",
	"member of a shared subscription dies",
	"SUBACK with a failure code",
	"publish denied by access rules",
	"bad credentials, then fixed",
	"TLS: wrong name, expired, wrong authority, 1.1 only",
	"certificate or token rotated",
	"invalid or oversize publish",
	"malformed bytes from the broker",
	"stop under load",
	"stop while the broker is down",
	"reconnect storm",
	"clock jumps",
	"duplicate delivery",
	"reordering after resume",
	"latency and stalls",

	// Isolation: a fault affects nothing else.
	"handler registered after the backlog came",
	"filter or group changed between two versions",
	"publish that ends the connection",
	"the same in an outbox",
	"letter that its store does not take",
	"ill-formed text in a whole PUBLISH",
	"message beyond every limit",
	"requests within handlers",
	"thousands of keys refused",
	"statistics of an outbox slow or hanging",
	"turn of a replica without a connection",
	"ordering key that no store takes",
	"context that does not fit",
	"SUBSCRIBE that ends the connection",
	"first address down",
	"blocked subscription in its own session",
	"broker faster than handlers",
	"broker back without sessions",
	"damaged letter",
	"database of a store hangs",
	"callback that hangs or panics",
	"message that nobody subscribes to",

	// Hostile neighbours: nothing that a device is allowed to do harms others.
	"ids of others taken",
	"reply that ends the connection",
	"ordering key of others",
	"letters of one device, many or large",
	"replies to others",
	"memory filled by one device",
	"forged letters",
	"duplicates that wait for a running id",
	"numbers that hide or invent gaps",
	"retained heartbeat",
	"trace context and metadata of a device",
	"header of letters on another message",
	"topics kept by hooks",
	"room in the queue filled by one device",
	"workers taken by one device",

	// Outages of what handlers need.
	"database down for a minute",
	"HTTP dependency down",
	"open breaker beside others",
}

// TestMatrixIsComplete searches the whole repository for the tests of each row.
func TestMatrixIsComplete(t *testing.T) {
	t.Parallel()
	if len(matrix) != 84 {
		t.Fatalf("%d rows", len(matrix))
	}
	rows, unknown := faultTests(t, filepath.Join("..", "..", ".."))
	for _, name := range unknown {
		t.Errorf("%s belongs to no row", name)
	}
	for i, what := range matrix {
		if len(rows[i+1]) == 0 {
			t.Errorf("row %d, %s, has no test named TestFault_%02d_...", i+1, what, i+1)
		}
	}
}

var faultTest = regexp.MustCompile(`^TestFault_(\d\d)_[A-Z]`)

// faultTests returns the tests by row, and those whose number is not that of a row.
func faultTests(t *testing.T, root string) (rows map[int][]string, unknown []string) {
	t.Helper()
	rows = make(map[int][]string)
	for path, file := range testFiles(t, root) {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "TestFault_") {
				continue
			}
			m := faultTest.FindStringSubmatch(f.Name.Name)
			n := 0
			if m != nil {
				n, _ = strconv.Atoi(m[1])
			}
			if n < 1 || n > len(matrix) {
				unknown = append(unknown, fmt.Sprintf("%s in %s", f.Name.Name, path))
				continue
			}
			rows[n] = append(rows[n], f.Name.Name)
		}
	}
	return rows, unknown
}

// testFiles parses the test files below a folder.
func testFiles(t *testing.T, root string) map[string]*ast.File {
	t.Helper()
	return parsed(t, root, "_test.go")
}

// goFiles parses all files below a folder.
func goFiles(t *testing.T, root string) map[string]*ast.File {
	t.Helper()
	return parsed(t, root, ".go")
}

func parsed(t *testing.T, root, suffix string) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Only the harness, which searches for secrets, creates clients in this package.
func TestOnlyTheHarnessMakesClients(t *testing.T) {
	t.Parallel()
	makers := map[string]bool{"NewBroker": true, "NewPublisher": true, "NewServer": true}
	for path, file := range testFiles(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := s.X.(*ast.Ident); ok && strings.HasPrefix(pkg.Name, "mqtt") && pkg.Name != "mqtttest" &&
				makers[s.Sel.Name] && path != "clients_test.go" {
				t.Errorf("%s uses %s.%s", path, pkg.Name, s.Sel.Name)
			}
			return true
		})
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if ok && faultTest.MatchString(f.Name.Name) && !mentions(f, "eachVersion", "eachWay", "memoryOfOne", "oneByOne", "newHarness") {
				t.Errorf("%s in %s does not use the harness", f.Name.Name, path)
			}
		}
	}
}

func mentions(f *ast.FuncDecl, names ...string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			for _, name := range names {
				found = found || id.Name == name
			}
		}
		return !found
	})
	return found
}
