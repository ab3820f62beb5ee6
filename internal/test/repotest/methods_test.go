package repotest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxMethodFiles is the largest number of files that may have methods of one type: a
// type with methods in more files is more than one concept.
const maxMethodFiles = 4

// methodFiles returns the files that have methods of a type, keyed by "package.Type".
func methodFiles(files map[string]*ast.File) map[string][]string {
	found := make(map[string]map[string]bool)
	for path, file := range files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil {
				continue
			}
			name := filepath.ToSlash(filepath.Dir(path)) + "." + receiver(f.Recv.List[0].Type)
			if found[name] == nil {
				found[name] = make(map[string]bool)
			}
			found[name][filepath.Base(path)] = true
		}
	}
	all := make(map[string][]string, len(found))
	for name, in := range found {
		all[name] = slices.Sorted(maps.Keys(in))
	}
	return all
}

// receiver returns the name of a receiver's type.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return fmt.Sprintf("%T", t)
}

func TestMethodsOfATypeAreTogether(t *testing.T) {
	t.Parallel()
	fset, files := token.NewFileSet(), make(map[string]*ast.File)
	for _, dir := range []string{"internal/mqtt", "broker", "transport", "event", "observe", "operator", "mqtttest"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			files[name] = file
			return err
		})
		if err != nil && !strings.Contains(err.Error(), "no such file") { // a package to come
			t.Fatal(err)
		}
	}
	all := methodFiles(files)
	if len(all) == 0 {
		t.Fatal("no method found")
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		in := all[name]
		if len(in) > maxMethodFiles {
			t.Errorf("%s has methods in %d files, want at most %d: %v; a part of it with values of its own is a type of its own", name, len(in), maxMethodFiles, in)
		}
	}
}

func TestMethodsAreFoundByFile(t *testing.T) {
	t.Parallel()
	fset, files := token.NewFileSet(), make(map[string]*ast.File)
	for name, text := range map[string]string{
		"p/a.go": "package p; type T[M any] struct{}; func (t *T[M]) A() {}; type U int; func (u U) A() {}",
		"p/b.go": "package p; func (T[M]) B() {}; func C() {}",
	} {
		file, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	got := methodFiles(files)
	if len(got) != 2 || !slices.Equal(got["p.T"], []string{"a.go", "b.go"}) || !slices.Equal(got["p.U"], []string{"a.go"}) {
		t.Errorf("%v", got)
	}
}
