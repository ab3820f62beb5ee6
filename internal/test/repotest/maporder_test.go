package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoMapOrderDecides finds code that iterates over the members of a JSON object, or over a table, in map
// order: if two members set the same field, the result would be random, and problems would be reported in a
// random order.
func TestNoMapOrderDecides(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "bench" || d.Name() == "third_party"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "test/"):
			return nil
		}
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, at := range rangesOverMaps(f) {
			t.Errorf("%s: a range in the order of a map; go over slices.Sorted(maps.Keys(…)) or a slice", files.Position(at))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rangesOverMaps finds loops over a map literal that call functions with its elements, and loops over
// variables of the type map[string]json.RawMessage.
func rangesOverMaps(f *ast.File) (found []token.Pos) {
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		objects := make(map[string]bool)
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				note(objects, n.Type, n.Names)
			case *ast.ValueSpec:
				note(objects, n.Type, n.Names)
			case *ast.RangeStmt:
				name, _ := n.X.(*ast.Ident)
				if name != nil && objects[name.Name] || mapOfMany(n.X) {
					found = append(found, n.Pos())
				}
			}
			return true
		})
	}
	return found
}

// note records the names of JSON objects.
func note(objects map[string]bool, kind ast.Expr, names []*ast.Ident) {
	m, ok := kind.(*ast.MapType)
	if !ok {
		return
	}
	if v, ok := m.Value.(*ast.SelectorExpr); ok && v.Sel.Name == "RawMessage" {
		for _, name := range names {
			objects[name.Name] = true
		}
	}
}

// mapOfMany reports whether an expression is a map literal.
func mapOfMany(x ast.Expr) bool {
	lit, ok := x.(*ast.CompositeLit)
	if !ok {
		return false
	}
	_, ok = lit.Type.(*ast.MapType)
	return ok && len(lit.Elts) > 1
}
