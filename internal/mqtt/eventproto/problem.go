package eventproto

import (
	"fmt"
	"sort"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// OptionError is a problem with an option.
type OptionError struct {
	// File, Line and Column are the position, counted from 1.
	File         string
	Line, Column int
	// Name is the full name of the method or service.
	Name protoreflect.FullName
	// Text describes the problem.
	Text string
}

// Error returns the problem in the form file:line:column: name: text.
func (p *OptionError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Column, p.Name, p.Text)
}

// OptionErrors are all problems of a run, in the order of the files.
type OptionErrors []*OptionError

// Error returns one line for each problem.
func (p OptionErrors) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

func (p OptionErrors) sort() {
	sort.SliceStable(p, func(i, j int) bool {
		a, b := p[i], p[j]
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
}

// reportf records a problem of d at the position of the option, or as close to it as the
// compiler records: protoc has the position of a whole { } value, buf that of each field.
func (l *loader) reportf(d protoreflect.Descriptor, option []int32, format string, args ...any) {
	file := d.ParentFile()
	at := file.SourceLocations().ByDescriptor(d)
	for n := len(option); n > 0; n-- {
		path := append(append(protoreflect.SourcePath{}, at.Path...), option[:n]...)
		if loc := file.SourceLocations().ByPath(path); loc.Path != nil {
			at = loc
			break
		}
	}
	l.problems = append(l.problems, &OptionError{
		File: file.Path(), Line: at.StartLine + 1, Column: at.StartColumn + 1,
		Name: d.FullName(), Text: fmt.Sprintf(format, args...),
	})
}

// option returns the path of a field of an option message, relative to its method or
// service.
func option(options, extension protoreflect.FieldNumber, field ...int32) []int32 {
	return append([]int32{int32(options), int32(extension)}, field...)
}
