package repotest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// tic is a turn of phrase that has to be read twice. CONTRIBUTING.md has pairs of
// sentences before and after.
type tic struct {
	pattern *regexp.Regexp
	want    string
	// example is a text that has it, plain one that has not.
	example, plain string
}

func tics() []tic {
	t := func(pattern, want, example, plain string) tic {
		return tic{regexp.MustCompile(`(?i)` + pattern), want, example, plain}
	}
	return []tic{
		t(`\b(says|tells) (whether|if|which|what|how|why)\b`, `"reports whether", "describes", "names"`,
			"ready says whether it runs", "ready reports whether it runs"),
		t(`\bgives\b( (a|an|the|it|its|them|nil|all|each|back|no|what)\b|$)`, `"returns", "sets", "passes", "assigns"`,
			"next gives the oldest entry", "next returns the oldest entry; it never gives up"),
		t(`\b(of|to|by|for|from|with|than|is|be|all|about) who(ever|m)?\b`, "the noun: the caller, the sender, the publisher",
			"the answer is sent to who asked", "the answer is sent to the client which asked"),
		t(`(^|[.:;,] )who(ever)? (?:\w+ )*\w+`, "the noun: a caller, a sender, a publisher",
			"Whoever stops it waits.", "A caller of Stop waits."),
		t(`\bbut for\b`, `"except"`, "all but for the last", "all except the last"),
		t(`\bin vain\b`, `"without success"`, "it was tried in vain", "it was tried without success"),
		t(`\b(is|was|be) none\b`, `"means no ...", "there is none"`, "nil is none", "nil means no store; there are none"),
		t(`\b(it|that|this|which|what|filter|topic|name|id|value|code|string|address|text|error) is no [a-z]+`, `"is not a ..."`,
			"what is no number", "it is not a number; there is no limit"),
		t(`\botherwise than\b`, `"unlike", "differently from"`, "otherwise than the broker", "unlike the broker"),
		t(`\b(and|or) the like\b`, "the list", "users, passwords and the like", "users and passwords"),
		t(`\bat hand\b`, `"current"`, "the message at hand", "the current message"),
		t(`\bwhat is nothing\b|\bis nothing\b`, `"does nothing", "is empty"`, "0 is nothing", "0 does nothing"),
		t(`\bis told\b|\bare told\b|\bwas told\b|\bhas been told\b`, `"is reported", "is logged", "receives"`,
			"the hook is told of it", "it is reported to the hook"),
		t(`\b(holds?|held|holding) up\b`, `"delays"`, "a slow handler holds up the others", "a slow handler delays the others"),
		t(`\bcounts? over (it|that|those|them)\b`, `"takes precedence over"`, "a field counts over it", "a field takes precedence over it"),
		t(`\bof no use\b`, `"useless", "is not used"`, "an address of no use", "a useless address"),
		t(`\bfor good\b([.,;:)]| [^r]|$)`, `"permanently"`, "it is refused for good", "it is refused permanently, for good reasons"),
		t(`\b(said|told) once\b`, `"logged once"`, "it is said once", "it is logged once"),
		t(`\btells? of\b|\btold of\b`, `"reports", "logs"`, "the log tells of it", "the log reports it"),
		t(`\bwho(m)?ever\b`, "the noun: any client, any caller", "it is open to whoever may publish", "it is open to any client that may publish"),
		t(`\bof (the|a) user's([.,;:)]|$| (is|are|that|which|may|must|runs|hangs)\b)`, `"of the user", "the user's function"`,
			"no function of the user's runs here", "no code of the user runs here; panics of the user's functions are logged"),
		t(`\bthereof\b|\bwherefrom\b|\bwhereby\b|\bhereof\b`, "plain words", "the size thereof", "its size"),
		t(`\bhave it that\b|\bhas it that\b|\bhad (it|them|others|all) [a-z]+ed\b`, `"makes", "lets", "causes"`,
			"one message had others delayed", "one message delayed others"),
	}
}

// plainForms are removed before a text is searched: they look like tics.
var plainForms = strings.NewReplacer("there is no", "", "there was no", "", "there be no", "", "is no longer", "", "is no more", "", "is nothing to", "")

// findTics returns the tics of a text, each with the words to use instead.
func findTics(text string) (found []string) {
	text = plainForms.Replace(strings.Join(strings.Fields(text), " "))
	for _, t := range tics() {
		if m := t.pattern.FindString(text); m != "" {
			found = append(found, strconv.Quote(m)+": want "+t.want)
		}
	}
	return found
}

func TestTicsAreFound(t *testing.T) {
	t.Parallel()
	for _, tic := range tics() {
		if !tic.pattern.MatchString(tic.example) {
			t.Errorf("%v does not find %q", tic.pattern, tic.example)
		}
		if found := findTics(tic.plain); len(found) > 0 {
			t.Errorf("%q: %v", tic.plain, found)
		}
	}
}

// TestPlainEnglish reads the comments and messages of all Go files that people
// wrote, the comments of all .proto files, and the documents.
func TestPlainEnglish(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		if d.IsDir() {
			if path != root && strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || d.Name() == "third_party" {
				return filepath.SkipDir
			}
			return nil
		}
		switch filepath.Ext(name) {
		case ".go", ".proto", ".md":
		default:
			return nil
		}
		if name == "internal/test/repotest/english_test.go" || name == "CONTRIBUTING.md" || name == "docs/licences.md" {
			return nil // they quote tics, or other people
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, s := range sentences(t, name, content) {
			for _, found := range findTics(s.text) {
				t.Errorf("%s:%d: %s", name, s.line, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sentence is a text for people, and the line on which it begins.
type sentence struct {
	line int
	text string
}

func sentences(t *testing.T, name string, content []byte) []sentence {
	t.Helper()
	switch filepath.Ext(name) {
	case ".go":
		return goSentences(t, name, content)
	case ".proto":
		return protoSentences(content)
	default:
		return markdownSentences(content)
	}
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

func goSentences(t *testing.T, name string, content []byte) (list []sentence) {
	t.Helper()
	if generated.Match(content) {
		return nil
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, content, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Comments {
		list = append(list, sentence{files.Position(group.Pos()).Line, group.Text()})
	}
	if strings.HasSuffix(name, "_test.go") {
		return list // their texts are cases
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && strings.Count(text, " ") > 1 {
				list = append(list, sentence{files.Position(lit.Pos()).Line, text})
			}
		}
		return true
	})
	return list
}

// protoSentences joins comments of consecutive lines.
func protoSentences(content []byte) (list []sentence) {
	var open bool
	for i, line := range bytes.Split(content, []byte("\n")) {
		_, comment, ok := strings.Cut(string(line), "//")
		switch {
		case ok && open:
			list[len(list)-1].text += "\n" + comment
		case ok:
			list = append(list, sentence{i + 1, comment})
		}
		open = ok
	}
	return list
}

// markdownSentences returns the paragraphs, without blocks of code.
func markdownSentences(content []byte) (list []sentence) {
	var open, code bool
	for i, raw := range strings.Split(string(content), "\n") {
		line := strings.TrimSpace(raw)
		if strings.HasPrefix(line, "```") {
			code, open = !code, false
			continue
		}
		switch {
		case code || line == "":
			open = false
		case open && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "- "):
			list[len(list)-1].text += "\n" + line
		default:
			list = append(list, sentence{i + 1, line})
			open = true
		}
	}
	return list
}
