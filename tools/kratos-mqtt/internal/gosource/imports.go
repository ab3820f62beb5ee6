package gosource

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
)

// Import adds an import. The name may be "", then the package has its own. It returns the name
// that the file uses for the package, which is another one if the file imports it already.
func (f *File) Import(name, path string) (string, error) {
	for _, s := range f.tree.Imports {
		if importPath(s) == path {
			return importName(s), nil
		}
	}
	spec := strconv.Quote(path)
	if name != "" {
		spec = name + " " + spec
	}
	decl := f.importDecl()
	var err error
	switch {
	case decl == nil:
		at := f.offset(f.tree.Name.End())
		err = f.replace(at, at, "\n\nimport "+spec)
	case !decl.Lparen.IsValid(): // import "x"
		first := decl.Specs[0]
		err = f.replace(f.offset(decl.Pos()), f.offset(decl.End()), fmt.Sprintf("import (\n\t%s\n\t%s\n)", f.source(first), spec))
	default:
		at := f.offset(decl.Rparen)
		if near := f.near(decl, path); near != nil {
			at = f.lineStart(f.offset(near.Pos()))
			if importPath(near) < path {
				at = f.lineEnd(f.offset(near.End())) + 1
			}
		}
		err = f.replace(at, at, "\t"+spec+"\n")
	}
	if name == "" {
		name = baseName(path)
	}
	return name, err
}

// Imports reports whether the file imports a package.
func (f *File) Imports(path string) bool {
	return slices.ContainsFunc(f.tree.Imports, func(s *ast.ImportSpec) bool { return importPath(s) == path })
}

// Unimport removes an import.
func (f *File) Unimport(path string) error {
	for _, d := range f.tree.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.IMPORT {
			continue
		}
		for _, s := range decl.Specs {
			spec, _ := s.(*ast.ImportSpec)
			if importPath(spec) != path {
				continue
			}
			if len(decl.Specs) == 1 {
				return f.replace(f.lineStart(f.offset(decl.Pos())), min(f.lineEnd(f.offset(decl.End()))+1, len(f.text)), "")
			}
			return f.removeLines(spec)
		}
	}
	return nil
}

// Single reports whether the imports are one that stands without parentheses.
func (f *File) Single() bool {
	decl := f.importDecl()
	return decl != nil && !decl.Lparen.IsValid()
}

// MakeSingle removes the parentheses around an import that stands alone in them.
func (f *File) MakeSingle() error {
	decl := f.importDecl()
	if decl == nil || !decl.Lparen.IsValid() || len(decl.Specs) != 1 {
		return nil
	}
	return f.replace(f.offset(decl.Pos()), f.offset(decl.End()), "import "+f.source(decl.Specs[0]))
}

// importDecl returns the last declaration of imports, or nil.
func (f *File) importDecl() (last *ast.GenDecl) {
	for _, d := range f.tree.Decls {
		if decl, ok := d.(*ast.GenDecl); ok && decl.Tok == token.IMPORT {
			last = decl
		}
	}
	return last
}

// near returns the import that stands beside the path in the order of its group: the group is
// that whose paths have most in common with it.
func (f *File) near(decl *ast.GenDecl, path string) (best *ast.ImportSpec) {
	shared := 0
	for _, s := range decl.Specs {
		spec, _ := s.(*ast.ImportSpec)
		n := common(importPath(spec), path)
		if best == nil || n > shared || n == shared && importPath(spec) < path {
			best, shared = spec, n
		}
	}
	return best
}

// common returns how many bytes two paths share at their begin.
func common(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func importPath(s *ast.ImportSpec) string {
	p, err := strconv.Unquote(s.Path.Value)
	if err != nil { // the parser accepts no other
		return s.Path.Value
	}
	return p
}

func importName(s *ast.ImportSpec) string {
	if s.Name != nil {
		return s.Name.Name
	}
	return baseName(importPath(s))
}

// baseName guesses the name of a package from its path.
func baseName(p string) string {
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && base[1] >= '0' && base[1] <= '9' && path.Dir(p) != "." {
		if _, err := strconv.Atoi(base[1:]); err == nil {
			return path.Base(path.Dir(p))
		}
	}
	return base
}
