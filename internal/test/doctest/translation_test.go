package doctest

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// translations returns the documents in Chinese.
func translations(t *testing.T) (found []document) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if err == nil && strings.HasSuffix(path, translation) {
			found = append(found, load(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestTranslations checks that each document in Chinese has the blocks of the English one, as many headings
// and rows of tables, and the same names in code type, and that README.md and the quickstart are translated.
func TestTranslations(t *testing.T) {
	t.Parallel()
	missing := map[string]bool{"README.md": true, quickstart: true}
	for _, d := range translations(t) {
		english := load(t, strings.TrimSuffix(d.name, translation)+".md")
		delete(missing, english.name)
		got, want := d.blocks(t), english.blocks(t)
		if len(got) != len(want) {
			t.Errorf("%s has %d blocks, %s has %d", d.name, len(got), english.name, len(want))
			continue
		}
		for i := range want {
			if got[i].kind != want[i].kind || got[i].text != want[i].text {
				t.Errorf("%s: block %d differs from %s:\n%s\nwant\n%s", d.name, i+1, english.name, got[i].text, want[i].text)
			}
		}
		for what, pattern := range map[string]string{"headings": `(?m)^#+ `, "rows": `(?m)^\|`} {
			has := func(d document) int { return len(regexp.MustCompile(pattern).FindAllString(d.prose(), -1)) }
			if has(d) != has(english) {
				t.Errorf("%s has %d %s, %s has %d", d.name, has(d), what, english.name, has(english))
			}
		}
		same(t, "names in "+d.name, names(d.prose()), names(english.prose()))
		if strings.IndexFunc(d.prose(), func(r rune) bool { return unicode.Is(unicode.Han, r) }) < 0 {
			t.Errorf("%s has no Chinese", d.name)
		}
	}
	for name := range missing {
		t.Errorf("%s has no translation", name)
	}
}
