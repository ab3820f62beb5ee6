package console

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// maxPage is the size of everything that the page loads, compressed.
const maxPage = 60 << 10

func TestPageIsSmall(t *testing.T) {
	t.Parallel()
	size := 0
	for name, a := range loadAssets() {
		if path.Ext(name) != ".LICENSE" {
			size += len(a.zipped)
		}
	}
	if size == 0 || size > maxPage {
		t.Errorf("the page has %d bytes compressed, want at most %d", size, maxPage)
	}
	t.Logf("%d bytes", size)
}

// The copies of libraries are those of npm: htm 3.1.1 (preact/standalone.module.js) and uplot
// 1.6.32 (dist). The lock file of scripts/npm has the checksums of the packages.
func TestCopiesAreUnchanged(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"vendor/htm-preact.js": "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7",
		"vendor/uplot.js":      "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
		"vendor/uplot.css":     "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
	}
	for name, a := range loadAssets() {
		if !strings.HasPrefix(name, "vendor/") || path.Ext(name) == ".LICENSE" {
			continue
		}
		sum := sha256.Sum256(a.plain)
		if got := hex.EncodeToString(sum[:]); got != want[name] {
			t.Errorf("%s has SHA-256 %s, want %s", name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// ours returns the names of our files of JavaScript.
func ours(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for name, a := range loadAssets() {
		if path.Ext(name) == ".js" && !strings.HasPrefix(name, "vendor/") {
			all[name] = string(a.plain)
		}
	}
	if len(all) < 10 {
		t.Fatalf("%d files", len(all))
	}
	return all
}

// Every text of the page has a Chinese one, and no Chinese text is left over.
func TestTextsAreTranslated(t *testing.T) {
	t.Parallel()
	files := ours(t)
	chinese := make(map[string]bool)
	for _, m := range regexp.MustCompile(`"((?:[^"\\]|\\.)*)": "`).FindAllStringSubmatch(files["zh.js"], -1) {
		chinese[m[1]] = true
	}
	rest := ""
	for name, text := range files {
		if name == "zh.js" {
			continue
		}
		rest += text
		for _, m := range regexp.MustCompile(`\bt\("((?:[^"\\]|\\.)*)"\)`).FindAllStringSubmatch(text, -1) {
			if !chinese[m[1]] {
				t.Errorf("%s: %q has no Chinese text", name, m[1])
			}
		}
	}
	for text := range chinese {
		status := text == "ready" || text == "degraded" || text == "not ready" // texts of the service
		if !status && !strings.Contains(rest, `"`+text+`"`) {
			t.Errorf("%q is translated and not used", text)
		}
	}
}

// The texts of devices and brokers become text of the page, never markup or code, and the page
// needs no exception of its Content-Security-Policy.
func TestPageMakesNoMarkupOfTexts(t *testing.T) {
	t.Parallel()
	unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function|javascript:|https?://`)
	for name, text := range ours(t) {
		if found := unsafe.FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	}
	page, err := fs.ReadFile(files, "assets/index.html")
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`<script>|\sstyle=|\son\w+=|https?://`).FindString(string(page)); found != "" {
		t.Errorf("index.html has %s", found)
	}
}
