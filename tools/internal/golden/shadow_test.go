package golden

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/gomqtt"
)

// TestNoVariableHidesAPackage imports packages whose names are those of variables in
// generated functions.
func TestNoVariableHidesAPackage(t *testing.T) {
	t.Parallel()
	set := descriptors(t, "shadow")
	for _, name := range []string{
		"c", "cc", "context", "ctx", "err", "event", "handler", "in", "in_", "level", "level2", "mismatch",
		"opts", "out", "p", "p1", "s", "srv", "string", "t", "t_", "time", "topic", "v1", "v2",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := "/cases/shadow/" + name
			parameters := strings.NewReplacer("/cases/shadow/v1", place, "/cases/shadow/in", "/second"+place, "/cases/shadow/t", "/third"+place).Replace(parameters(set))
			p, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
				FileToGenerate: []string{"cases/shadow/shadow.proto"}, ProtoFile: set.GetFile(), Parameter: &parameters,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := gomqtt.Generate(p, eventproto.Settings{}); err != nil {
				t.Fatal(err)
			}
			source := p.Response().GetFile()[0].GetContent()
			if n := strings.Count(source, name+"\"\n"); n < 3 {
				t.Fatalf("%d packages called %s, want 3:\n%s", n, name, source)
			}
			for _, hidden := range hidden(t, source) {
				t.Errorf("a variable hides the package %s", hidden)
			}
		})
	}
}

// hidden returns the names of imported packages of a file that are also names of
// variables in a function that uses the package.
func hidden(t *testing.T, source string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", source, 0)
	if err != nil {
		t.Fatal(err)
	}
	imported := make(map[string]bool)
	for _, i := range file.Imports {
		name := path.Base(strings.Trim(i.Path.Value, `"`))
		if i.Name != nil {
			name = i.Name.Name
		}
		imported[name] = true
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		// The parser resolves names that are declared in the function, so that a selector on
		// such a name is on the variable.
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Obj != nil && x.Obj.Kind == ast.Var && imported[x.Name] && !slices.Contains(names, x.Name) {
				names = append(names, x.Name)
			}
			return true
		})
	}
	return names
}
