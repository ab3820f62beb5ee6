package repotest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

const maxLines = 500

// long lists files that may be longer, each with its reason.
var long = map[string]string{}

var generatedMark = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func TestFileLength(t *testing.T) {
	t.Parallel()
	seen := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && (name == ".git" || name == ".tools") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil || generatedMark.Match(src) {
			return err
		}
		seen++
		file, _ := filepath.Rel(root, path)
		lines := bytes.Count(src, []byte("\n"))
		if reason := long[filepath.ToSlash(file)]; lines > maxLines && reason == "" {
			t.Errorf("%s has %d lines, more than %d: split it, or say here why not", file, lines, maxLines)
		} else if lines <= maxLines && reason != "" {
			t.Errorf("%s is no longer than %d lines: take it off the list", file, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no Go file found")
	}
}
