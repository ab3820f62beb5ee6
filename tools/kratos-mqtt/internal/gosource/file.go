// Package gosource changes Go files at positions of their syntax trees: it adds and removes
// imports, arguments, parameters and statements. Everything else of a file stays as it is, and a
// file that was formatted by gofmt stays so.
//
// Every change is idempotent: what is there already is not added again, and what is not there is
// not removed. A place that a file does not have is an error, and the file is unchanged then.
package gosource

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"strings"
)

// File is the text of a Go file. It must not be used concurrently.
type File struct {
	name      string
	text      []byte
	formatted bool

	set  *token.FileSet
	tree *ast.File
}

// Parse returns a file. The name is used in errors, which have the line of a mistake.
func Parse(name string, text []byte) (*File, error) {
	f := &File{name: name}
	if err := f.become(text); err != nil {
		return nil, err
	}
	pretty, err := format.Source(text)
	f.formatted = err == nil && bytes.Equal(pretty, text)
	return f, nil
}

// Bytes returns the text with all changes. It must not be modified.
func (f *File) Bytes() []byte { return f.text }

// become parses another text of the file.
func (f *File) become(text []byte) error {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, f.name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f.text, f.set, f.tree = text, set, tree
	return nil
}

// replace replaces the bytes from start to end.
func (f *File) replace(start, end int, with string) error {
	var text bytes.Buffer
	text.Write(f.text[:start])
	text.WriteString(with)
	text.Write(f.text[end:])
	result := text.Bytes()
	if f.formatted {
		pretty, err := format.Source(result)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		result = pretty
	}
	return f.become(result)
}

func (f *File) offset(p token.Pos) int { return f.set.Position(p).Offset }

func (f *File) line(p token.Pos) int { return f.set.Position(p).Line }

// source returns the text of a node.
func (f *File) source(n ast.Node) string { return string(f.text[f.offset(n.Pos()):f.offset(n.End())]) }

// lineStart returns the offset of the first byte of the line of an offset.
func (f *File) lineStart(at int) int { return bytes.LastIndexByte(f.text[:at], '\n') + 1 }

// lineEnd returns the offset of the line feed that ends the line of an offset, or of the end of
// the file.
func (f *File) lineEnd(at int) int {
	if i := bytes.IndexByte(f.text[at:], '\n'); i >= 0 {
		return at + i
	}
	return len(f.text)
}

// indent returns the blanks that the line of an offset begins with.
func (f *File) indent(at int) string {
	line := string(f.text[f.lineStart(at):at])
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

// same reports whether two pieces of Go text differ in blanks only.
func same(a, b string) bool {
	return strings.Join(strings.Fields(a), "") == strings.Join(strings.Fields(b), "")
}

// errorf returns an error about the place of a node, or about the file if there is none.
func (f *File) errorf(at ast.Node, text string, args ...any) error {
	where := f.name
	if at != nil {
		where = fmt.Sprintf("%s:%d", f.name, f.line(at.Pos()))
	}
	return fmt.Errorf("%s: %w", where, fmt.Errorf(text, args...))
}

// function returns the declaration of a function without a receiver.
func (f *File) function(name string) (*ast.FuncDecl, error) {
	for _, d := range f.tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name && fn.Body != nil {
			return fn, nil
		}
	}
	return nil, f.errorf(nil, "there is no function %s", name)
}

// Has reports whether the file declares a function, type, variable or constant of this name.
func (f *File) Has(name string) bool {
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == name {
				return true
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.Name == name {
						return true
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.Name == name {
							return true
						}
					}
				}
			}
		}
	}
	return false
}
