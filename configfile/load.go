package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"gopkg.in/yaml.v3"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Load reads a file into m, which should be empty, and runs the checks, which see as much
// of m as could be read. The error is of type [FileErrors]: the problems of the file
// and those that the checks found. Each [event.SettingError] of a check is reported at
// its place in the file, except for keys that could not be read. If the file cannot be
// opened, Load returns another type of error.
func Load(path string, m proto.Message, checks ...func() error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return Parse(path, text, m, os.LookupEnv, checks...)
}

// Parse is like [Load], but reads the file from text: path is its name in errors, lookup
// returns environment variables.
func Parse(path string, text []byte, m proto.Message, lookup func(name string) (string, bool), checks ...func() error) error {
	d := newDecoder(path, lookup)
	d.read(text, m, checks...)
	if len(d.problems) == 0 {
		return nil
	}
	d.problems.sort()
	return d.problems
}

func newDecoder(path string, lookup func(name string) (string, bool)) *decoder {
	return &decoder{file: path, lookup: lookup, lines: make(map[string]int), sections: make(map[string][]string)}
}

// read reads the text into m and runs the checks.
func (d *decoder) read(text []byte, m proto.Message, checks ...func() error) {
	root, readable := d.parse(text)
	if root != nil {
		d.message(root, m.ProtoReflect(), "")
	}
	for _, check := range checks {
		if readable { // otherwise every key would be reported as missing
			d.found(check())
		}
	}
}

// parse returns the root of the file, or nil if it is empty, and reports whether the
// file is YAML with keys.
func (d *decoder) parse(text []byte) (root *yaml.Node, readable bool) {
	y := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := y.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, true
	case err != nil:
		d.syntax(err, text)
		return nil, false
	}
	switch err := y.Decode(&second); {
	case err == nil:
		d.reportf(second.Line, "", "has a second document, want only one")
	case !errors.Is(err, io.EOF):
		d.syntax(err, text)
	}
	root = d.resolve(document.Content[0])
	if root.Kind != yaml.MappingNode {
		d.reportf(root.Line, "", "is %s, want keys with values", kindOf(root))
		return nil, false
	}
	return root, true
}

// repeated matches the parts of a parser's error that are repeated; other parts may quote
// the file.
var repeated = regexp.MustCompile(`did not find expected [\w ',\]}-]*|mapping values are not allowed[\w ]*|` +
	`found character that cannot start any token|found a tab character[\w ]*|unknown anchor|could not find expected [\w ':]*|control characters are not allowed|` +
	`found unexpected [\w ]*|block sequence entries are not allowed[\w ]*`)

var (
	lineOf  = regexp.MustCompile(`line (\d+)`)
	aliasOf = regexp.MustCompile(`unknown anchor '([^']+)'`)
)

func (d *decoder) syntax(err error, text []byte) {
	what, line := repeated.FindString(err.Error()), 1 // the parser does not name the first line
	if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	if m := aliasOf.FindStringSubmatch(err.Error()); m != nil {
		before, _, _ := strings.Cut(string(text), "*"+m[1])
		line = 1 + strings.Count(before, "\n")
	}
	if what == "" {
		what = "it cannot be read"
	}
	d.reportf(line, "", "is not YAML: %s", strings.TrimSpace(what))
}

// found adds the errors that a check returned.
func (d *decoder) found(err error) {
	keys, rest := settings(err)
	for _, k := range keys {
		d.located(k)
	}
	for _, e := range rest {
		d.problems = append(d.problems, &FileError{File: d.file, Text: e.Error(), Cause: e})
	}
}

// located adds a setting at each place where its section occurs in the file, or without
// a line if the section is absent.
func (d *decoder) located(k *event.SettingError) {
	places := []string{""}
	if k.Section != "" {
		if places = d.sections[k.Section]; places == nil {
			d.problems = append(d.problems, &FileError{File: d.file, Text: k.Error(), Cause: k.Cause})
			return
		}
	}
	for _, place := range places {
		key := join(place, k.Key)
		if !d.reported(key) {
			d.problems = append(d.problems, &FileError{File: d.file, Line: d.line(key), Key: key, Text: k.Text, Cause: k.Cause})
		}
	}
}

// reported reports whether a problem was found with a key, one of its parents or one of
// its items.
func (d *decoder) reported(key string) bool {
	for _, p := range d.problems {
		if p.Key != "" && (key == p.Key || strings.HasPrefix(key, p.Key+".") || strings.HasPrefix(p.Key, key+"[")) {
			return true
		}
	}
	return false
}

// line returns the line of a key, or of its nearest parent in the file.
func (d *decoder) line(key string) int {
	for key != "" {
		if n := d.lines[key]; n > 0 {
			return n
		}
		i := strings.LastIndexByte(key, '.')
		key = key[:max(i, 0)]
	}
	return 0
}

func join(place, key string) string {
	if place == "" {
		return key
	}
	return place + "." + key
}
