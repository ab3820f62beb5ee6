package configfile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"gopkg.in/yaml.v3"
)

// Bounds on what the aliases of a file can expand to, and on how deep they nest, since
// the names of keys grow with the depth.
const (
	maxNodes = 100_000
	maxDepth = 100
)

// plain matches keys that are repeated in a problem. Other keys may be part of a value.
var plain = regexp.MustCompile(`^[A-Za-z][\w-]{0,63}$`)

// decoder reads a file into a message and continues after each problem.
type decoder struct {
	file     string
	lookup   func(name string) (string, bool)
	problems FileErrors
	lines    map[string]int      // line of each key
	sections map[string][]string // keys of the sections, by message name
	nodes    int
	depth    int
}

func (d *decoder) reportf(line int, key, format string, args ...any) {
	d.problems = append(d.problems, &FileError{File: d.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// resolve follows aliases.
func (d *decoder) resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// message sets the fields of m from a mapping.
func (d *decoder) message(n *yaml.Node, m protoreflect.Message, at string) {
	name := string(m.Descriptor().FullName())
	d.sections[name] = append(d.sections[name], at)
	seen := make(map[protoreflect.Name]int)
	one := func(key string) string {
		if f := field(m.Descriptor(), key); f != nil {
			return string(f.Name())
		}
		return key
	}
	d.members(n, at, one, func(key, value *yaml.Node) {
		f := field(m.Descriptor(), key.Value)
		if f == nil && !plain.MatchString(key.Value) { // the key may be part of a value
			d.reportf(key.Line, at, "has a key that is not the name of a field%s", suggestion(m.Descriptor(), key.Value))
			return
		}
		if f == nil {
			d.reportf(key.Line, join(at, key.Value), "unknown key%s", suggestion(m.Descriptor(), key.Value))
			return
		}
		place := join(at, string(f.Name()))
		if line := seen[f.Name()]; line > 0 {
			d.reportf(key.Line, place, "is set twice, also in line %d", line)
			return
		}
		seen[f.Name()] = key.Line
		d.lines[place] = key.Line
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() && m.WhichOneof(o) != nil {
			d.reportf(key.Line, place, "contradicts %s: only one of %s can be set", m.WhichOneof(o).Name(), o.Name())
			return
		}
		d.field(value, m, f, place)
	})
}

// members calls f for each member of a mapping, including those merged with <<, which
// the mapping's own keys override. name returns the same name for all forms of a key.
func (d *decoder) members(n *yaml.Node, at string, name func(key string) string, f func(key, value *yaml.Node)) {
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		if !d.full() { // report it once
			d.nodes = maxNodes + 1
			d.reportf(n.Line, "", "is nested deeper than %d sections; the rest is not read", maxDepth)
		}
		return
	}
	own := make(map[string]bool)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.count(key.Line) {
			return
		}
		switch {
		case key.Tag == "!!merge":
			merged = append(merged, value)
		case key.Kind != yaml.ScalarNode:
			d.reportf(key.Line, at, "has a key that is %s, want text", kindOf(key))
		default:
			own[name(key.Value)] = true
			f(key, d.resolve(value))
		}
	}
	for _, value := range merged {
		value = d.resolve(value)
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		for _, source := range sources {
			if source = d.resolve(source); source.Kind != yaml.MappingNode {
				d.reportf(source.Line, at, "merges (<<) %s, want keys with values", kindOf(source))
				continue
			}
			d.members(source, at, name, func(key, value *yaml.Node) {
				if !own[name(key.Value)] {
					own[name(key.Value)] = true
					f(key, value)
				}
			})
		}
	}
}

// count counts a key or an item and reports whether to read it. The first one over the
// bound is a problem, because the rest of the file must not be ignored silently.
func (d *decoder) count(line int) bool {
	if d.full() {
		return false
	}
	if d.nodes++; d.full() {
		d.reportf(line, "", "has more than %d keys and items, including those of aliases; the rest is not read", maxNodes)
		return false
	}
	return true
}

func (d *decoder) full() bool { return d.nodes > maxNodes }

// field sets one field of m.
func (d *decoder) field(n *yaml.Node, m protoreflect.Message, f protoreflect.FieldDescriptor, at string) {
	switch {
	case f.IsMap():
		d.mapping(n, m, f, at)
	case f.IsList():
		d.list(n, m, f, at)
	default:
		if v, ok := d.single(n, f, at, func() protoreflect.Value { return m.NewField(f) }); ok {
			m.Set(f, v)
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, m protoreflect.Message, f protoreflect.FieldDescriptor, at string) {
	if n.Kind != yaml.MappingNode {
		if !empty(n) {
			d.reportf(n.Line, at, "is %s, want keys with values", kindOf(n))
		}
		return
	}
	entries := m.Mutable(f).Map()
	asWritten := func(key string) string { return key }
	seen := make(map[string]bool)
	d.members(n, at, asWritten, func(key, value *yaml.Node) {
		place := join(at, key.Value)
		if seen[key.Value] {
			d.reportf(key.Line, place, "is set twice")
			return
		}
		seen[key.Value], d.lines[place] = true, key.Line
		k, problem := scalar(key.Value, f.MapKey())
		if problem != "" {
			d.reportf(key.Line, place, "as a key %s", problem)
			return
		}
		if v, ok := d.single(value, f.MapValue(), place, entries.NewValue); ok {
			entries.Set(k.MapKey(), v)
		}
	})
}

func (d *decoder) list(n *yaml.Node, m protoreflect.Message, f protoreflect.FieldDescriptor, at string) {
	list := m.Mutable(f).List()
	switch n.Kind {
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if !d.count(item.Line) {
				return
			}
			place := at + "[" + strconv.Itoa(i) + "]"
			d.lines[place] = item.Line
			if v, ok := d.single(d.resolve(item), f, place, list.NewElement); ok {
				list.Append(v)
			}
		}
	case yaml.ScalarNode:
		d.split(n, f, list, at)
	default:
		d.reportf(n.Line, at, "is %s, want a list, as in [a, b]", kindOf(n))
	}
}

// split appends the list items of a resolved placeholder.
func (d *decoder) split(n *yaml.Node, f protoreflect.FieldDescriptor, list protoreflect.List, at string) {
	if empty(n) {
		return
	}
	e, err := expand(n.Value, d.lookup)
	switch {
	case err != nil:
		d.reportf(n.Line, at, "%v", err)
		return
	case !e.whole || f.Message() != nil:
		d.reportf(n.Line, at, "is %s, want a list, as in [a, b]", kindOf(n))
		return
	}
	for item := range strings.SplitSeq(e.text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		v, problem := scalar(item, f)
		if problem != "" {
			d.reportf(n.Line, at, "%s", problem)
			return
		}
		list.Append(v)
	}
}

// single returns one value. ok is false if it is left unset, with or without a problem.
func (d *decoder) single(n *yaml.Node, f protoreflect.FieldDescriptor, at string, empties func() protoreflect.Value) (v protoreflect.Value, ok bool) {
	if f.Message() != nil && !textual(f.Message()) {
		if n.Kind == yaml.MappingNode {
			v = empties()
			d.message(n, v.Message(), at)
			return v, true
		}
		if n.Tag == "!!null" {
			d.reportf(n.Line, at, "is empty; write {} for defaults, or leave the key out")
		} else {
			d.reportf(n.Line, at, "is %s, want keys with values", kindOf(n))
		}
		return v, false
	}
	if n.Kind != yaml.ScalarNode {
		d.reportf(n.Line, at, "is %s, want %s", kindOf(n), wanted(f))
		return v, false
	}
	if empty(n) {
		return v, false
	}
	e, err := expand(n.Value, d.lookup)
	if err != nil {
		d.reportf(n.Line, at, "%v", err)
		return v, false
	}
	if e.whole && e.text == "" {
		return v, false
	}
	value, problem := value(e.text, n, f, empties)
	if problem != "" {
		d.reportf(n.Line, at, "%s", problem)
	}
	return value, problem == ""
}

// field returns the field with a name, as in the .proto file or as in JSON.
func field(m protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if f := m.Fields().ByName(protoreflect.Name(name)); f != nil {
		return f
	}
	return m.Fields().ByJSONName(name)
}

// suggestion names the key that was probably meant, or all known keys.
func suggestion(m protoreflect.MessageDescriptor, name string) string {
	best, least, all := "", 3, make(map[string]bool)
	for i := range m.Fields().Len() {
		known := string(m.Fields().Get(i).Name())
		all[known] = true
		if n := distance(strings.ToLower(name), known); n < least {
			best, least = known, n
		}
	}
	if best != "" {
		return ", did you mean " + best + "?"
	}
	if len(all) == 0 {
		return ""
	}
	return "; known keys are " + strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}

// distance is the number of letters that differ between two names (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "empty"
	case "!!bool":
		return "true or false"
	case "!!int", "!!float":
		return "a number"
	}
	return "text"
}
