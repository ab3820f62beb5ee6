package gosource

import (
	"bytes"
	"go/ast"
	"slices"
	"strings"
)

// Argument adds an argument at the end of the call of callee, such as "wire.NewSet", within the
// declaration of a function or a variable.
func (f *File) Argument(within, callee, argument string) error {
	call, err := f.call(within, callee)
	if err != nil {
		return err
	}
	if f.argument(call, argument) >= 0 {
		return nil
	}
	return f.appendTo(nodes(call.Args), f.offset(call.Lparen)+1, f.offset(call.Rparen), argument)
}

// RemoveArgument removes an argument of such a call.
func (f *File) RemoveArgument(within, callee, argument string) error {
	call, err := f.call(within, callee)
	if err != nil {
		return err
	}
	if at := f.argument(call, argument); at >= 0 {
		return f.removeFrom(nodes(call.Args), at)
	}
	return nil
}

// HasArgument reports whether such a call has an argument. It is false without the call.
func (f *File) HasArgument(within, callee, argument string) bool {
	call, err := f.call(within, callee)
	return err == nil && f.argument(call, argument) >= 0
}

func (f *File) argument(call *ast.CallExpr, text string) int {
	return slices.IndexFunc(call.Args, func(e ast.Expr) bool { return same(f.source(e), text) })
}

// Parameter adds a parameter to a function: before the one named before, or at the end if there
// is none of that name.
func (f *File) Parameter(function, name, typ, before string) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	list := fn.Type.Params.List
	if at := parameter(list, name); at >= 0 {
		if !same(f.source(list[at].Type), typ) {
			return f.errorf(list[at], "the parameter %s of %s is a %s, want %s", name, function, f.source(list[at].Type), typ)
		}
		return nil
	}
	text := name + " " + typ
	if at := parameter(list, before); at >= 0 {
		start := f.offset(list[at].Pos())
		if bytes.ContainsRune(f.text[f.lineStart(start):start], '(') || strings.TrimSpace(string(f.text[f.lineStart(start):start])) != "" {
			return f.replace(start, start, text+", ")
		}
		return f.replace(start, start, text+",\n"+f.indent(start))
	}
	return f.appendTo(nodes(list), f.offset(fn.Type.Params.Opening)+1, f.offset(fn.Type.Params.Closing), text)
}

// RemoveParameter removes a parameter of a function.
func (f *File) RemoveParameter(function, name string) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	list := fn.Type.Params.List
	at := parameter(list, name)
	switch {
	case at < 0:
		return nil
	case len(list[at].Names) > 1: // a, b int
		names := list[at].Names
		return f.removeFrom(nodes(names), slices.IndexFunc(names, func(n *ast.Ident) bool { return n.Name == name }))
	}
	return f.removeFrom(nodes(list), at)
}

// parameter returns the index of the field with a parameter, or -1.
func parameter(list []*ast.Field, name string) int {
	return slices.IndexFunc(list, func(field *ast.Field) bool {
		return slices.ContainsFunc(field.Names, func(n *ast.Ident) bool { return n.Name == name })
	})
}

// call finds the only call of callee within a declaration.
func (f *File) call(within, callee string) (*ast.CallExpr, error) {
	var scope ast.Node
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == within {
				scope = d
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && slices.ContainsFunc(v.Names, func(n *ast.Ident) bool { return n.Name == within }) {
					scope = v
				}
			}
		}
	}
	if scope == nil {
		return nil, f.errorf(nil, "there is no function or variable %s", within)
	}
	var found []*ast.CallExpr
	ast.Inspect(scope, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok && same(f.source(c.Fun), callee) {
			found = append(found, c)
		}
		return true
	})
	if len(found) != 1 {
		return nil, f.errorf(scope, "%s calls %s %d times, want once", within, callee, len(found))
	}
	return found[0], nil
}

func nodes[N ast.Node](list []N) []ast.Node {
	all := make([]ast.Node, len(list))
	for i, n := range list {
		all[i] = n
	}
	return all
}

// appendTo adds an item at the end of a list in parentheses, whose content is between opening and
// closing.
func (f *File) appendTo(list []ast.Node, opening, closing int, item string) error {
	if len(list) == 0 {
		return f.replace(opening, closing, item)
	}
	last := list[len(list)-1]
	end := f.offset(last.End())
	if f.lineEnd(end) >= closing { // the parenthesis stands on the same line
		return f.replace(end, end, ", "+item)
	}
	at := f.lineEnd(end)
	return f.replace(at, at, "\n"+f.indent(f.offset(last.Pos()))+item+",")
}

// removeFrom removes an item of a list that is separated by commas. A comment behind it on its
// line goes with it if the item has the line for itself.
func (f *File) removeFrom(list []ast.Node, at int) error {
	start, end := f.offset(list[at].Pos()), f.offset(list[at].End())
	comma := end + bytes.IndexByte(f.text[end:], ',') + 1
	alone := strings.TrimSpace(string(f.text[f.lineStart(start):start])) == "" &&
		(at == len(list)-1 || f.line(list[at+1].Pos()) > f.line(list[at].End()))
	switch {
	case alone:
		return f.replace(f.lineStart(start), f.lineEnd(end)+1, "")
	case at < len(list)-1:
		return f.replace(start, comma+len(f.text[comma:])-len(bytes.TrimLeft(f.text[comma:], " \t")), "")
	case at > 0:
		return f.replace(f.offset(list[at-1].End()), end, "")
	}
	return f.replace(start, end, "")
}
