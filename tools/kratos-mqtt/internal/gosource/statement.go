package gosource

import (
	"go/ast"
	"slices"
	"strings"
)

// Statement adds a statement to a function, before its last statement that begins with the text
// before, such as "return".
func (f *File) Statement(function, code, before string) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	code = strings.TrimSpace(code)
	if f.statement(fn, code) >= 0 {
		return nil
	}
	for _, s := range slices.Backward(fn.Body.List) {
		if strings.HasPrefix(f.source(s), before) {
			at := f.lineStart(f.offset(s.Pos()))
			indent := f.indent(f.offset(s.Pos()))
			return f.replace(at, at, indent+strings.ReplaceAll(code, "\n", "\n"+indent)+"\n")
		}
	}
	return f.errorf(fn, "%s has no statement that begins with %q", function, before)
}

// RemoveStatement removes a statement of a function, with the comment above it.
func (f *File) RemoveStatement(function, code string) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	if at := f.statement(fn, code); at >= 0 {
		return f.removeLines(fn.Body.List[at])
	}
	return nil
}

// HasStatement reports whether a function has a statement.
func (f *File) HasStatement(function, code string) bool {
	fn, err := f.function(function)
	return err == nil && f.statement(fn, code) >= 0
}

// statement returns the index of a statement of a function, or -1.
func (f *File) statement(fn *ast.FuncDecl, code string) int {
	return slices.IndexFunc(fn.Body.List, func(s ast.Stmt) bool { return same(f.source(s), code) })
}

// removeLines removes the lines of a node, with the comment that ends on the line above it.
func (f *File) removeLines(n ast.Node) error {
	start, end := f.offset(n.Pos()), f.offset(n.End())
	for _, c := range f.tree.Comments {
		if f.line(c.End()) == f.line(n.Pos())-1 && strings.TrimSpace(string(f.text[f.lineStart(f.offset(c.Pos())):f.offset(c.Pos())])) == "" {
			start = f.offset(c.Pos())
		}
	}
	return f.replace(f.lineStart(start), min(f.lineEnd(end)+1, len(f.text)), "")
}
