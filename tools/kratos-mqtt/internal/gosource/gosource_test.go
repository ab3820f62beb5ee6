package gosource_test

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/gosource"
)

// edits are changes with the text before and after; what undoes a change leads back to the text
// before.
var edits = map[string]struct {
	before, after string
	do, undo      func(f *gosource.File) error
}{
	"argument on one line": {
		"var Set = wire.NewSet(NewData, NewRepo)", "var Set = wire.NewSet(NewData, NewRepo, NewBroker)",
		func(f *gosource.File) error { return f.Argument("Set", "wire.NewSet", "NewBroker") },
		func(f *gosource.File) error { return f.RemoveArgument("Set", "wire.NewSet", "NewBroker") },
	},
	"first argument": {
		"var Set = wire.NewSet()", "var Set = wire.NewSet(NewBroker)",
		func(f *gosource.File) error { return f.Argument("Set", "wire.NewSet", "NewBroker") },
		func(f *gosource.File) error { return f.RemoveArgument("Set", "wire.NewSet", "NewBroker") },
	},
	"argument on a line of its own": {
		"var Set = wire.NewSet(\n\tNewData, // the database\n)", "var Set = wire.NewSet(\n\tNewData, // the database\n\tNewBroker,\n)",
		func(f *gosource.File) error { return f.Argument("Set", "wire.NewSet", "NewBroker") },
		func(f *gosource.File) error { return f.RemoveArgument("Set", "wire.NewSet", "NewBroker") },
	},
	"argument in a function": {
		"func newApp(gs *grpc.Server) *kratos.App {\n\treturn kratos.New(\n\t\tkratos.Server(\n\t\t\tgs,\n\t\t),\n\t)\n}",
		"func newApp(gs *grpc.Server) *kratos.App {\n\treturn kratos.New(\n\t\tkratos.Server(\n\t\t\tgs,\n\t\t\tms,\n\t\t),\n\t)\n}",
		func(f *gosource.File) error { return f.Argument("newApp", "kratos.Server", "ms") },
		func(f *gosource.File) error { return f.RemoveArgument("newApp", "kratos.Server", "ms") },
	},
	"last parameter": {
		"func newApp(gs *grpc.Server) {}", "func newApp(gs *grpc.Server, ms *mqtt.Server) {}",
		func(f *gosource.File) error { return f.Parameter("newApp", "ms", "*mqtt.Server", "logger") },
		func(f *gosource.File) error { return f.RemoveParameter("newApp", "ms") },
	},
	"parameter before another": {
		"func newApp(logger log.Logger, gs *grpc.Server) {}", "func newApp(ms *mqtt.Server, logger log.Logger, gs *grpc.Server) {}",
		func(f *gosource.File) error { return f.Parameter("newApp", "ms", "*mqtt.Server", "logger") },
		func(f *gosource.File) error { return f.RemoveParameter("newApp", "ms") },
	},
	"parameter on a line of its own": {
		"func newApp(\n\tgs *grpc.Server,\n\tlogger log.Logger,\n) {\n}", "func newApp(\n\tgs *grpc.Server,\n\tms *mqtt.Server,\n\tlogger log.Logger,\n) {\n}",
		func(f *gosource.File) error { return f.Parameter("newApp", "ms", "*mqtt.Server", "logger") },
		func(f *gosource.File) error { return f.RemoveParameter("newApp", "ms") },
	},
	"parameter behind others on its line": {
		"func newApp(\n\ta, b int, logger log.Logger,\n) {\n}", "func newApp(\n\ta, b int, ms *mqtt.Server, logger log.Logger,\n) {\n}",
		func(f *gosource.File) error { return f.Parameter("newApp", "ms", "*mqtt.Server", "logger") },
		func(f *gosource.File) error { return f.RemoveParameter("newApp", "ms") },
	},
	"statement": {
		"func newServer() *Server {\n\tsrv := mqtt.NewServer()\n\treturn srv\n}",
		"func newServer() *Server {\n\tsrv := mqtt.NewServer()\n\tv1.RegisterOrders(srv, orders)\n\treturn srv\n}",
		func(f *gosource.File) error {
			return f.Statement("newServer", "v1.RegisterOrders(srv, orders)", "return")
		},
		func(f *gosource.File) error { return f.RemoveStatement("newServer", "v1.RegisterOrders(srv,orders)") },
	},
	"statement of several lines": {
		"func newServer() *Server {\n\treturn nil\n}",
		"func newServer() *Server {\n\tif x {\n\t\ty()\n\t}\n\treturn nil\n}",
		func(f *gosource.File) error { return f.Statement("newServer", "if x {\n\ty()\n}", "return") },
		func(f *gosource.File) error { return f.RemoveStatement("newServer", "if x {\n\ty()\n}") },
	},
	"import in its group": {
		"import (\n\t\"fmt\"\n\n\t\"demo/internal/biz\"\n\t\"demo/internal/service\"\n)", "import (\n\t\"fmt\"\n\n\torderv1 \"demo/api/order/v1\"\n\t\"demo/internal/biz\"\n\t\"demo/internal/service\"\n)",
		func(f *gosource.File) error { _, err := f.Import("orderv1", "demo/api/order/v1"); return err },
		func(f *gosource.File) error { return f.Unimport("demo/api/order/v1") },
	},
	"last import of its group": {
		"import (\n\t\"fmt\"\n\n\t\"demo/internal/biz\"\n)", "import (\n\t\"fmt\"\n\n\t\"demo/internal/biz\"\n\t\"demo/internal/conf\"\n)",
		func(f *gosource.File) error { _, err := f.Import("", "demo/internal/conf"); return err },
		func(f *gosource.File) error { return f.Unimport("demo/internal/conf") },
	},
}

const head = "package p\n\n"

func parse(t *testing.T, text string) *gosource.File {
	t.Helper()
	f, err := gosource.Parse("p.go", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEditsAreSmallIdempotentAndReversible(t *testing.T) {
	t.Parallel()
	for name, tt := range edits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := head+tt.before+"\n", head+tt.after+"\n"
			f := parse(t, before)
			for range 2 {
				if err := tt.do(f); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Bytes()); got != after {
					t.Fatalf("got\n%s\nwant\n%s", got, after)
				}
			}
			for range 2 {
				if err := tt.undo(f); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Bytes()); got != before {
					t.Fatalf("got back\n%s\nwant\n%s", got, before)
				}
			}
		})
	}
}

// TestUnformattedText is that of a file of somebody who does not use gofmt: only the change differs.
func TestUnformattedText(t *testing.T) {
	t.Parallel()
	const text = head + "var   Set = wire.NewSet( NewData )\nfunc  f( ) {  }\n"
	f := parse(t, text)
	if err := f.Argument("Set", "wire.NewSet", "NewBroker"); err != nil {
		t.Fatal(err)
	}
	if got, want := string(f.Bytes()), strings.Replace(text, "NewData", "NewData, NewBroker", 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestImportForms(t *testing.T) {
	t.Parallel()
	for before, after := range map[string]string{
		"":                    "import \"os\"\n",
		"import \"fmt\"\n":    "import (\n\t\"fmt\"\n\t\"os\"\n)\n",
		"import sys \"os\"\n": "import sys \"os\"\n",
	} {
		f := parse(t, head+before)
		if f.Imports("os") != strings.Contains(before, "os") {
			t.Errorf("%q: Imports is wrong", before)
		}
		name, err := f.Import("", "os")
		if err != nil || strings.HasPrefix(before, "import sys") && name != "sys" {
			t.Errorf("%q: the name is %q, %v", before, name, err)
		}
		if got := string(f.Bytes()); strings.TrimSpace(got) != strings.TrimSpace(head+after) {
			t.Errorf("%q became %q", before, got)
		}
	}
}

// TestUnknownPlacesAreErrors and leave the file as it is.
func TestUnknownPlacesAreErrors(t *testing.T) {
	t.Parallel()
	const text = head + "var Set = wire.NewSet(NewData)\n\nfunc f(a int) {\n\tg()\n}\n"
	for want, do := range map[string]func(f *gosource.File) error{
		"p.go: there is no function or variable Other":                func(f *gosource.File) error { return f.Argument("Other", "wire.NewSet", "x") },
		"p.go:3: Set calls wire.Build 0 times, want once":             func(f *gosource.File) error { return f.Argument("Set", "wire.Build", "x") },
		"p.go: there is no function h":                                func(f *gosource.File) error { return f.Parameter("h", "x", "int", "") },
		"p.go:5: the parameter a of f is a int, want string":          func(f *gosource.File) error { return f.Parameter("f", "a", "string", "") },
		"p.go:5: f has no statement that begins with \"return\"":      func(f *gosource.File) error { return f.Statement("f", "h()", "return") },
		"p.go: 3:35: expected operand, found ')' (and 1 more errors)": func(f *gosource.File) error { return f.Argument("Set", "wire.NewSet", "x +") },
	} {
		f := parse(t, text)
		err := do(f)
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if string(f.Bytes()) != text {
			t.Errorf("%v changed the file:\n%s", err, f.Bytes())
		}
	}
}

func TestHas(t *testing.T) {
	t.Parallel()
	f := parse(t, head+"type T struct{}\n\nvar a, b int\n\nfunc F() {\n\tg()\n}\n\nfunc (T) M() {}\n")
	for name, want := range map[string]bool{"T": true, "b": true, "F": true, "M": false, "g": false} {
		if f.Has(name) != want {
			t.Errorf("Has(%s) is not %t", name, want)
		}
	}
	if !f.HasStatement("F", "g()") || f.HasStatement("F", "h()") || f.HasArgument("F", "g", "x") {
		t.Error("statements and arguments are mistaken")
	}
}
