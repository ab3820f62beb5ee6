package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`(Test\\w+)`")

// TestNamedTests checks that each test that a document names exists, and that each row of the
// tables about guarantees and order names one.
func TestNamedTests(t *testing.T) {
	t.Parallel()
	there := testNames(t)
	for _, d := range documents(t) {
		if d.name == "CHANGELOG.md" || strings.HasPrefix(d.name, filepath.Join("docs", "adr")) {
			continue // they describe what was
		}
		for _, m := range testName.FindAllStringSubmatch(d.prose(), -1) {
			if !there[m[1]] {
				t.Errorf("%s names %s, which does not exist", d.name, m[1])
			}
		}
	}
	for page, head := range map[string]string{"docs/guide/guarantees.md": "QoS", "docs/guide/ordering.md": "between"} {
		for _, row := range load(t, page).table(t, head) {
			if !testName.MatchString(row[len(row)-1]) {
				t.Errorf("%s: no test shows the row %q", page, row)
			}
		}
	}
}

// testNames returns the names of all tests of this module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
