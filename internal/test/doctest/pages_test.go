package doctest

import (
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPackagePages checks that the documentation of each package begins with the generated form, in code
// that is part of a file below this folder.
func TestPackagePages(t *testing.T) {
	t.Parallel()
	sources := goFiles(t, ".")
	for _, name := range []string{"broker/mqtt", "transport/mqtt", "event", "mqtttest", "observe", "operator"} {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name, "doc.go"), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		beginning, _, _ := strings.Cut(f.Doc.Text(), "\n# ")
		code := ""
		for line := range strings.Lines(beginning) {
			if strings.HasPrefix(line, "\t") || (code != "" && line == "\n") {
				code += line
			} else if code != "" {
				break
			}
		}
		code = strings.TrimSpace(code) + "\n"
		if !strings.Contains(code, "MQTTServer(") && !strings.Contains(code, "MQTTClient(") {
			t.Errorf("the documentation of %s does not begin with the generated form, but with:\n%s", name, beginning)
		}
		here := func(source string) bool { return strings.Contains(source, unindent(code)) }
		if !slices.ContainsFunc(sources, here) {
			t.Errorf("the documentation of %s begins with code that is in no file of internal/test/doctest:\n%s", name, code)
		}
	}
}

// TestExamples checks that what users do first has an example.
func TestExamples(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string][]string{
		"broker/mqtt":         {"", "WithOutbox", "WithDedup", "WithConnectionConfig_tls"},
		"transport/mqtt":      {"", "_request", "Server_Replay", "_sharedGroup", "_batch", "Middleware", "Server_Use"},
		"mqtttest/eventfake":  {"", "Conn_Fail"},
		"mqtttest/brokerfake": {"", "Broker_Answer"},
	} {
		files, err := filepath.Glob(filepath.Join(root, folder, "example*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var there []string
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range doc.Examples(f) {
				if there = append(there, e.Name); e.Output == "" {
					t.Errorf("%s: the example %q shows no output", file, e.Name)
				}
			}
		}
		for _, name := range want {
			if !slices.Contains(there, name) {
				t.Errorf("%s has no example %q, only %q", folder, name, there)
			}
		}
	}
}
