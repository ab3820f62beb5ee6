package repotest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	picture = regexp.MustCompile("(?s)```mermaid\nflowchart TD\n(.*?)```")
	node    = regexp.MustCompile(`(\w+)\["([^":]+)(?::[^"]*)?"\]`)
)

// TestPicture checks the rooms and arrows of docs/architecture.md: each room must be a
// package, and each arrow an import.
func TestPicture(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := picture.FindSubmatch(text)
	if block == nil {
		t.Fatal("docs/architecture.md has no picture")
	}
	g := loadGraph(t, "./...")
	rooms := map[string]string{"event": "./event"}
	lines := strings.Split(strings.TrimSpace(string(block[1])), "\n")
	for _, line := range lines {
		for _, m := range node.FindAllStringSubmatch(line, -1) {
			rooms[m[1]] = "./internal/mqtt/" + m[2]
			if strings.Contains(m[2], "/") {
				rooms[m[1]] = "./" + m[2]
			}
		}
	}
	rooms["event"], rooms["observe"], rooms["operator"], rooms["gen"] = "./event", "./observe", "./operator", "./tools/internal/golden/cases/basic"
	for name, path := range rooms {
		if _, ok := g[path]; !ok {
			t.Errorf("%s is drawn and is not a package: %s", name, path)
		}
	}
	arrows := 0
	for _, line := range lines {
		ends := strings.Split(node.ReplaceAllString(line, "$1"), "-->")
		for i := range len(ends) - 1 {
			for from := range strings.SplitSeq(ends[i], "&") {
				for to := range strings.SplitSeq(ends[i+1], "&") {
					arrows++
					from, to := rooms[strings.TrimSpace(from)], rooms[strings.TrimSpace(to)]
					if !importsBelow(g, from, to) {
						t.Errorf("an arrow is drawn from %s to %s, which it does not import", from, to)
					}
				}
			}
		}
	}
	if arrows == 0 {
		t.Error("the picture has no arrows")
	}
}

var goFile = regexp.MustCompile("`([a-z0-9_/]+\\.(?:go|proto))`")

// TestFilesOfTheArchitecture checks that the files that docs/architecture.md names
// exist, in the module's folder or in that of the rooms.
func TestFilesOfTheArchitecture(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := goFile.FindAllSubmatch(text, -1)
	if len(named) < 20 {
		t.Fatalf("docs/architecture.md names %d files", len(named))
	}
	for _, m := range named {
		name := string(m[1])
		_, top := os.Stat(filepath.Join(root, name))
		_, room := os.Stat(filepath.Join(root, "internal", "mqtt", name))
		if top != nil && room != nil {
			t.Errorf("docs/architecture.md names %s, which does not exist", name)
		}
	}
}

// importsBelow reports whether the package from, or one below it, imports the package
// to, or one below that.
func importsBelow(g graph, from, to string) bool {
	for path, imports := range g {
		if path != from && !strings.HasPrefix(path, from+"/") {
			continue
		}
		for _, i := range imports {
			if i == to || strings.HasPrefix(i, to+"/") {
				return true
			}
		}
	}
	return false
}
