package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// graph maps every package to the imports of its non-test code. Packages of this module have names such as
// "./dir", so that the tests work with any module path.
type graph map[string][]string

// loadGraph lists the packages that match patterns, and their dependencies, with go list.
func loadGraph(t *testing.T, args ...string) graph {
	t.Helper()
	module := goOutput(t, "list", "-m")
	out := goOutput(t, append([]string{"list", "-deps", "-json=ImportPath,Imports"}, args...)...)
	g, err := parseGraph(strings.NewReader(out), module)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// parseGraph reads the output of go list -json.
func parseGraph(r io.Reader, module string) (graph, error) {
	g := graph{}
	for dec := json.NewDecoder(r); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		for i, path := range pkg.Imports {
			pkg.Imports[i] = local(path, module)
		}
		g[local(pkg.ImportPath, module)] = pkg.Imports
	}
}

// local shortens the path of a package of this module to "./dir".
func local(path, module string) string {
	if path == module {
		return "."
	}
	if dir, ok := strings.CutPrefix(path, module+"/"); ok {
		return "./" + dir
	}
	return path
}

// reach returns, for every package that from needs, the shortest chain of
// imports that leads there.
func (g graph) reach(from string) map[string][]string {
	chains := map[string][]string{}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		chain := queue[0]
		for _, path := range g[chain[len(chain)-1]] {
			if _, seen := chains[path]; !seen && path != from {
				chains[path] = append(slices.Clone(chain), path)
				queue = append(queue, chains[path])
			}
		}
	}
	return chains
}

// goOutput runs the go command in the module's root.
func goOutput(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}
