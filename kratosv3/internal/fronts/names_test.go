package fronts

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// names returns the exported functions, types, methods and constants of a package, and those
// of its interfaces.
func names(t *testing.T, dir string) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	p, err := doc.NewFromFiles(fset, files, "example.com/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	values := func(list []*doc.Value) {
		for _, v := range list {
			for _, name := range v.Names {
				all[name] = true
			}
		}
	}
	funcs := func(of string, list []*doc.Func) {
		for _, f := range list {
			all[of+f.Name] = true
			if f.Doc == "" {
				t.Errorf("%s: %s%s has no comment", dir, of, f.Name)
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs("", p.Funcs)
	for _, typ := range p.Types {
		all[typ.Name] = true
		values(typ.Consts)
		funcs("", typ.Funcs)
		funcs(typ.Name+".", typ.Methods)
		for _, spec := range typ.Decl.Specs {
			i, ok := spec.(*ast.TypeSpec).Type.(*ast.InterfaceType)
			if !ok {
				continue
			}
			for _, m := range i.Methods.List {
				for _, name := range m.Names {
					all[typ.Name+"."+name.Name] = true
				}
			}
		}
	}
	maps.DeleteFunc(all, func(name string, _ bool) bool { return !token.IsExported(strings.TrimPrefix(name, "*")) })
	return all
}

// Both fronts offer the same names, except for what is kratos-transport's.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		layer string
		// only v2 has these, and only v3 those, each list with its reason.
		v2, v3 [][]string
	}{
		{
			"broker/mqtt",
			[][]string{
				// Methods of kratos-transport's broker.Broker; Start and Stop are the same.
				{"Broker.Init", "Broker.Connect", "Broker.Disconnect", "Broker.Options"},
				// Options of one message by kratos-transport's types; calls take event's in v3.
				{"WithCallOptions", "CallOf", "WithPublishQos", "WithPublishRetained", "WithRequestBinder"},
				// Options of kratos-transport that have no effect.
				{
					"LoggerOptions", "WithLogger", "WithErrorLogger", "WithCriticalLogger", "WithWarnLogger", "WithDebugLogger",
					"WithResumeSubs", "WithOrderMatters",
				},
			},
			[][]string{
				// Types that v2 takes from kratos-transport's package broker.
				{"Option", "SubscribeOption", "Handler", "Binder", "Headers", "Subscriber", "Subscriber.Topic", "Subscriber.Unsubscribe"},
				// Options that v2 takes from there.
				{
					"WithAddress", "WithTLSConfig", "WithEnableSecure", "WithCodec", "WithTracerProvider", "WithPropagator",
					"WithGlobalTracerProvider", "WithGlobalPropagator", "WithSubscribeQueueName", "WithSubscribeConcurrency",
					"WithSubscribeRetry", "WithSubscribeContext", "DisableAutoAck",
				},
				// Methods that v2's Received takes from broker.Event and its Message.
				{"Received.Topic", "Received.Body", "Received.Headers", "Received.Ack"},
			},
		},
		{
			"transport/mqtt",
			[][]string{
				{"WithEnableKeepAlive"}, // of kratos-transport, without effect
			},
			nil,
		},
		{"provider", nil, nil},
	} {
		t.Run(tt.layer, func(t *testing.T) {
			t.Parallel()
			v2, v3 := names(t, "../../../"+tt.layer), names(t, "../../"+tt.layer)
			if len(v2) < 6 {
				t.Fatalf("%d names", len(v2))
			}
			only2, only3 := slices.Concat(tt.v2...), slices.Concat(tt.v3...)
			for _, name := range slices.Sorted(maps.Keys(v2)) {
				if v3[name] == slices.Contains(only2, name) {
					t.Errorf("%s: in v3: %t, listed as only in v2: %t", name, v3[name], !v3[name])
				}
			}
			for _, name := range slices.Sorted(maps.Keys(v3)) {
				if v2[name] == slices.Contains(only3, name) {
					t.Errorf("%s: in v2: %t, want it there or on the list of what only v3 has", name, v2[name])
				}
			}
			for _, name := range slices.Concat(only2, only3) {
				if !v2[name] && !v3[name] {
					t.Errorf("%s is on a list and in neither front", name)
				}
			}
		})
	}
}
