// Package protosource changes .proto files at positions of their syntax trees: it adds and removes
// imports and fields. Everything else of a file stays as it is. What is there already is not added
// again, and what is not there is not removed.
package protosource

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/bufbuild/protocompile/ast"
	"github.com/bufbuild/protocompile/parser"
	"github.com/bufbuild/protocompile/reporter"
)

// ErrChanged is the error of removing what is not as it was added.
var ErrChanged = errors.New("was changed")

// File is the text of a .proto file. It must not be used concurrently.
type File struct {
	name string
	text []byte
	tree *ast.FileNode
}

// Parse returns a file. The name is used in errors, which have the line of a mistake.
func Parse(name string, text []byte) (*File, error) {
	f := &File{name: name}
	return f, f.become(text)
}

// Bytes returns the text with all changes. It must not be modified.
func (f *File) Bytes() []byte { return f.text }

func (f *File) become(text []byte) error {
	tree, err := parser.Parse(f.name, bytes.NewReader(text), reporter.NewHandler(nil))
	if err != nil {
		return err
	}
	f.text, f.tree = text, tree
	return nil
}

func (f *File) replace(start, end int, with string) error {
	return f.become([]byte(string(f.text[:start]) + with + string(f.text[end:])))
}

// start and end return the offsets of a node, without comments.
func (f *File) start(n ast.Node) int { return f.tree.NodeInfo(n).Start().Offset }
func (f *File) end(n ast.Node) int   { return f.start(n) + len(f.source(n)) }

func (f *File) line(n ast.Node) int { return f.tree.NodeInfo(n).Start().Line }

func (f *File) source(n ast.Node) string { return f.tree.NodeInfo(n).RawText() }

func (f *File) lineStart(at int) int { return bytes.LastIndexByte(f.text[:at], '\n') + 1 }

func (f *File) lineEnd(at int) int {
	if i := bytes.IndexByte(f.text[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(f.text)
}

// indent returns the blanks in front of a node that begins its line.
func (f *File) indent(n ast.Node) string {
	at := f.start(n)
	line := string(f.text[f.lineStart(at):at])
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

func (f *File) errorf(n ast.Node, text string, args ...any) error {
	where := f.name
	if n != nil {
		where = fmt.Sprintf("%s:%d", f.name, f.line(n))
	}
	return fmt.Errorf("%s: %w", where, fmt.Errorf(text, args...))
}

// imports returns the imports.
func (f *File) imports() (all []*ast.ImportNode) {
	for _, d := range f.tree.Decls {
		if i, ok := d.(*ast.ImportNode); ok {
			all = append(all, i)
		}
	}
	return all
}

// Import adds an import in the order of the others.
func (f *File) Import(path string) error {
	text := fmt.Sprintf("import %q;", path)
	all := f.imports()
	var last ast.Node
	for _, i := range all {
		switch name := i.Name.AsString(); {
		case name == path:
			return nil
		case name < path || last == nil:
			last = i
		}
	}
	if len(all) > 0 {
		if all[0].Name.AsString() > path {
			at := f.lineStart(f.start(all[0]))
			return f.replace(at, at, text+"\n")
		}
		at := f.lineEnd(f.end(last))
		return f.replace(at, at, "\n"+text)
	}
	for _, d := range f.tree.Decls {
		if p, ok := d.(*ast.PackageNode); ok {
			last = p
		}
	}
	switch {
	case last != nil:
	case f.tree.Syntax != nil:
		last = f.tree.Syntax
	case f.tree.Edition != nil:
		last = f.tree.Edition
	default:
		return f.errorf(nil, "want a syntax, an edition or a package")
	}
	at := f.lineEnd(f.end(last))
	return f.replace(at, at, "\n\n"+text)
}

// RemoveImport removes an import.
func (f *File) RemoveImport(path string) error {
	all := f.imports()
	for _, i := range all {
		if i.Name.AsString() != path {
			continue
		}
		start, end := f.lineStart(f.start(i)), f.lineEnd(f.end(i))
		if len(all) == 1 && bytes.HasSuffix(f.text[:start], []byte("\n\n")) {
			start--
		}
		return f.replace(start, min(end+1, len(f.text)), "")
	}
	return nil
}
