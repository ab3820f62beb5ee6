package doctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// patterns is the folder of the pages about patterns.
const patterns = "docs/guide/patterns"

// TestPatterns checks that each example has a page, which links to it, names what is guaranteed and
// what is not, and is part of the index.
func TestPatterns(t *testing.T) {
	t.Parallel()
	index := load(t, patterns+"/README.md")
	examples, err := filepath.Glob("patterns/*_test.go")
	if err != nil || len(examples) == 0 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	pages := 0
	for _, file := range examples {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nfunc Example_") {
			continue // what the examples share
		}
		pages++
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), "_test.go"), "_", "-")
		page := load(t, patterns+"/"+name+".md")
		for _, part := range []string{"/internal/test/doctest/" + file + ")", "**Guaranteed**", "**Not guaranteed**", "```go"} {
			if !strings.Contains(page.text, part) {
				t.Errorf("%s lacks %q", page.name, part)
			}
		}
		if !strings.Contains(index.text, "]("+name+".md)") {
			t.Errorf("%s does not link to %s", index.name, page.name)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(root, patterns, "*.md")); len(found) != pages+1 {
		t.Errorf("%d pages and an index for %d examples", len(found), pages)
	}
}
