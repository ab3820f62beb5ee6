package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// value is a part of printed text that differs each time: a number, with its unit, or a capital in its place, or the name of a row of the bench.
var value = regexp.MustCompile(`(^| )(\d[\d.,]*(/s|%)?( µs)?|[A-Z])( |$)| publish-\S+( native)?`)

// TestOutput checks that each text between the values of printed lines, which documents show behind >, is
// part of a Go file.
func TestOutput(t *testing.T) {
	t.Parallel()
	var sources strings.Builder
	for _, folder := range []string{"internal/mqtt", "internal/test/soak", "bench"} {
		err := fs.WalkDir(os.DirFS(root), folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(filepath.Join(root, path))
			sources.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	shown := 0
	for _, d := range documents(t) {
		for line := range strings.Lines(d.prose()) {
			printed, ok := strings.CutPrefix(line, "> ")
			if !ok {
				continue
			}
			shown++
			for _, part := range value.Split(strings.TrimSpace(printed), -1) {
				if part = strings.Trim(part, ", "); !strings.Contains(sources.String(), part) {
					t.Errorf("%s shows %q; no program prints %q", d.name, strings.TrimSpace(printed), part)
				}
			}
		}
	}
	if shown == 0 {
		t.Error("no document shows printed lines")
	}
}
