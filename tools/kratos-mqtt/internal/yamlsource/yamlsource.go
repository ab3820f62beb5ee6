// Package yamlsource adds a section to a YAML file, and removes it again. Everything else of the file
// stays as it is.
package yamlsource

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
)

// ErrChanged is the error of removing a section that is not as it was added.
var ErrChanged = errors.New("was changed")

// Add adds a section at the end of a file. It begins with its key, and ends with a line feed. It is
// an error if the file has the key, or anything but one mapping with one key a line.
func Add(name string, text []byte, key, section string) ([]byte, error) {
	at, _, err := find(name, text, key)
	if err != nil {
		return nil, err
	}
	if at > 0 {
		return nil, fmt.Errorf("%s:%d: there is a section %s already", name, at, key)
	}
	before := string(text)
	if before != "" && !strings.HasSuffix(before, "\n") { // the file stays without a line feed at its end
		section = "\n" + strings.TrimSuffix(section, "\n")
	}
	return []byte(before + section), nil
}

// Remove removes a section. One that has another text than the one that was added is [ErrChanged],
// and stays unless force is set.
func Remove(name string, text []byte, key, section string, force bool) ([]byte, error) {
	at, next, err := find(name, text, key)
	if err != nil || at == 0 {
		return text, err
	}
	lines := strings.SplitAfter(string(text), "\n")
	end := at // the line behind the section, from 0
	for i := at; i < len(lines) && (next == 0 || i < next-1); i++ {
		if strings.HasPrefix(lines[i], " ") && strings.TrimSpace(lines[i]) != "" {
			end = i + 1
		}
	}
	own := strings.Join(lines[at-1:end], "")
	if !force && strings.TrimSuffix(own, "\n") != strings.TrimSuffix(section, "\n") {
		return text, fmt.Errorf("%s:%d: section %s %w", name, at, key, ErrChanged)
	}
	kept := strings.Join(lines[:at-1], "") + strings.Join(lines[end:], "")
	if !strings.HasSuffix(own, "\n") {
		kept = strings.TrimSuffix(kept, "\n")
	}
	return []byte(kept), nil
}

// find returns the line of a key, and that of the key behind it, both 0 if there is none.
func find(name string, text []byte, key string) (at, next int, err error) {
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return 0, 0, nil
	} else if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", name, err)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return 0, 0, fmt.Errorf("%s: want one document", name)
	}
	root := document.Content[0]
	switch {
	case root.Kind != yaml.MappingNode, root.Style&yaml.FlowStyle != 0, root.Column != 1:
		return 0, 0, fmt.Errorf("%s:%d: want a mapping, one key a line", name, root.Line)
	case strings.HasSuffix(strings.TrimSpace(string(text)), "\n..."):
		return 0, 0, fmt.Errorf("%s: want no end of the document", name)
	}
	for i := 0; i < len(root.Content); i += 2 {
		k := root.Content[i]
		if at > 0 {
			return at, k.Line, nil
		}
		if k.Value == key {
			at = k.Line
		}
	}
	return at, 0, nil
}
