package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// root is the folder of the module, relative to this package.
const root = "../../.."

// document is one Markdown file.
type document struct {
	name string // from the root
	text string
}

// block is a fenced block of a document.
type block struct {
	where string
	kind  string // the word after the fence
	text  string
}

func load(t *testing.T, name string) document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return document{name, string(text)}
}

// translation ends the names of documents in Chinese. TestTranslations compares their blocks with those of
// the English documents, so nothing else runs them.
const translation = ".zh-CN.md"

// documents returns the documents of the root and those below docs, except translations.
func documents(t *testing.T) []document {
	t.Helper()
	docs := []document{load(t, "README.md")}
	others, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range others {
		if name := filepath.Base(file); name != "README.md" && !strings.HasSuffix(name, translation) {
			docs = append(docs, load(t, name))
		}
	}
	err = fs.WalkDir(os.DirFS(root), "docs", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".md" && !strings.HasSuffix(path, translation) {
			docs = append(docs, load(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

var fence = regexp.MustCompile("^\\s*(```+|~~~+)(.*)$")

// blocks returns the fenced blocks of a document. A block without an end is an error.
func (d document) blocks(t *testing.T) (found []block) {
	t.Helper()
	var open *block
	for line := range strings.Lines(d.text) {
		m := fence.FindStringSubmatch(strings.TrimRight(line, "\n"))
		switch {
		case m == nil && open != nil:
			open.text += line
		case m == nil:
		case open == nil:
			open = &block{where: d.name, kind: strings.TrimSpace(m[2])}
		default:
			found = append(found, *open)
			open = nil
		}
	}
	if open != nil {
		t.Errorf("%s: a %q block is not closed", d.name, open.kind)
	}
	return found
}

// prose returns the text of a document without its fenced blocks.
func (d document) prose() (text string) {
	inside := false
	for line := range strings.Lines(d.text) {
		if fence.MatchString(strings.TrimRight(line, "\n")) {
			inside = !inside
		} else if !inside {
			text += line
		}
	}
	return text
}

// blocksOf returns the blocks of one kind in all documents.
func blocksOf(t *testing.T, kind string) (found []block) {
	t.Helper()
	for _, d := range documents(t) {
		for _, b := range d.blocks(t) {
			if b.kind == kind {
				found = append(found, b)
			}
		}
	}
	if len(found) == 0 {
		t.Errorf("no %q block", kind)
	}
	return found
}

// table returns the cells of the table whose header begins with the given cell.
func (d document) table(t *testing.T, head string) (rows [][]string) {
	t.Helper()
	_, rest, ok := strings.Cut(d.text, "\n| "+head+" |")
	if !ok {
		t.Fatalf("%s: no table that begins with %q", d.name, head)
	}
	for i, line := range strings.Split(rest, "\n") {
		if i < 2 {
			continue // the rest of the head, and the rule below it
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		row := strings.Split(strings.Trim(line, "|"), "|")
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		rows = append(rows, row)
	}
	return rows
}

var code = regexp.MustCompile("`([^`]+)`")

// names returns the words in code type.
func names(cell string) (found []string) {
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		found = append(found, m[1])
	}
	return found
}

var titled = regexp.MustCompile("(?m)^#+ +(.*)$")

// anchors returns the anchors of the headings, as GitHub makes them.
func (d document) anchors() (found []string) {
	for _, m := range titled.FindAllStringSubmatch(d.prose(), -1) {
		anchor := ""
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				anchor += "-"
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				anchor += string(r)
			}
		}
		found = append(found, anchor)
	}
	return found
}
