package gosource

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"slices"
	"strings"
)

// Name returns the name that the file uses for a package, and whether it imports it.
func (f *File) Name(path string) (string, bool) {
	for _, s := range f.tree.Imports {
		if importPath(s) == path {
			return importName(s), true
		}
	}
	return "", false
}

// Uses reports whether the file refers to something of an imported package, by the name that it has
// in the file.
func (f *File) Uses(name string) bool {
	found := false
	ast.Inspect(f.tree, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == name {
				found = true
			}
		}
		return !found
	})
	return found
}

// Calling returns the names of the functions without a receiver that call callee.
func (f *File) Calling(callee string) (names []string) {
	for _, d := range f.tree.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || fn.Body == nil {
			continue
		}
		found := false
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok && same(f.source(c.Fun), callee) {
				found = true
			}
			return !found
		})
		if found {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}

// Arguments returns the arguments of the only call of callee within a declaration.
func (f *File) Arguments(within, callee string) ([]string, error) {
	call, err := f.call(within, callee)
	if err != nil {
		return nil, err
	}
	if call.Ellipsis.IsValid() {
		return nil, f.errorf(call, "%s calls %s with a list, want arguments one by one", within, callee)
	}
	all := make([]string, len(call.Args))
	for i, a := range call.Args {
		all[i] = f.source(a)
	}
	return all, nil
}

// Types returns the types of the parameters of a function.
func (f *File) Types(function string) ([]string, error) {
	fn, err := f.function(function)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, field := range fn.Type.Params.List {
		all = append(all, slices.Repeat([]string{f.source(field.Type)}, max(1, len(field.Names)))...)
	}
	return all, nil
}

// Place returns file and line of a function, or of the file without it.
func (f *File) Place(function string) error {
	fn, err := f.function(function)
	if err != nil {
		return err
	}
	return f.errorf(fn, "%s", function)
}

// Equal reports whether two Go files have the same imports and declarations, whatever their comments
// and their form.
func Equal(a, b []byte) bool {
	x, err := bare(a)
	if err != nil {
		return false
	}
	y, err := bare(b)
	return err == nil && x == y
}

// bare returns the text of a file without comments, its imports sorted.
func bare(text []byte) (string, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, "", text, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	var imports []string
	for _, s := range tree.Imports {
		name := ""
		if s.Name != nil {
			name = s.Name.Name
		}
		imports = append(imports, name+" "+s.Path.Value)
	}
	slices.Sort(imports)
	out := bytes.NewBufferString(strings.Join(imports, "\n"))
	for _, d := range tree.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			continue
		}
		out.WriteByte('\n')
		if err := format.Node(out, set, d); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}
