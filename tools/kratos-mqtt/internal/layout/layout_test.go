package layout

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/kratoslayout"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

var update = flag.Bool("update", false, "write the golden files")

const root = "../../../.."

// changes are changes of files of the project before anything is added: the old text and the new one.
// A file with the old text "" gets the new one, and one with both "" is deleted.
type changes map[string][2]string

// write writes a project with changes.
func write(t *testing.T, kratos string, c changes) string {
	t.Helper()
	dir := t.TempDir()
	kratoslayout.Write(t, dir, kratos)
	for name, text := range c {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if text == [2]string{} {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if text[0] != "" {
			before, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(before), text[0]) {
				t.Fatalf("%s has no %q: %v", name, text[0], err)
			}
			text[1] = strings.Replace(string(before), text[0], text[1], 1)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func opened(t *testing.T, dir string, o Options) *Project {
	t.Helper()
	var err error
	if o.Replace, err = filepath.Abs(root); err != nil {
		t.Fatal(err)
	}
	o.Version = "v0.0.0"
	p, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// planned makes the changes without a trial.
func planned(t *testing.T, p *Project) (*record, error) {
	t.Helper()
	if there, err := p.there(); there || err != nil {
		return nil, err
	}
	if err := p.recognise(); err != nil {
		return nil, err
	}
	library, err := p.service.Library(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p.plan(t.Context(), event(t, "greeting"), library)
}

func event(t *testing.T, name string) scaffold.Event {
	t.Helper()
	e, err := scaffold.NewEvent(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// texts returns all files of a project.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var length = regexp.MustCompile(`, \d+ lines`)

// TestDiff compares the changes of both layouts with golden files.
func TestDiff(t *testing.T) {
	t.Parallel()
	for _, kratos := range []string{scaffold.KratosV2, scaffold.KratosV3} {
		p := opened(t, write(t, kratos, nil), Options{})
		if _, err := planned(t, p); err != nil {
			t.Fatal(err)
		}
		if p.service.Kratos != kratos || p.service.Name != "shop" {
			t.Errorf("found %+v", p.service)
		}
		diff := length.ReplaceAllString(p.Diff(), "") // of files of other rooms
		golden := filepath.Join("testdata", kratos+".diff")
		if *update {
			if err := os.WriteFile(golden, []byte(diff), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || diff != string(want) {
			t.Errorf("%s: -update writes the file: %v\n%s", golden, err, diff)
		}
	}
}

// odd are projects that differ from kratos-layout, and are understood all the same.
var odd = map[string]struct {
	change  changes
	options Options
	want    []string // in the diff
}{
	"another folder of the command": {
		changes{"cmd/server/main.go": {}, "cmd/server/wire.go": {}, "cmd/server/wire_gen.go": {}},
		Options{},
		[]string{"+++ b/cmd/parcel-service/main.go", "+    client_id: parcel-service", "new        api/parcel_service/v1/greeting.proto"},
	},
	"a command that is asked for": {
		changes{"cmd/job/wire.go": {"", "package main\n\nfunc wireJob() { wire.Build() }\n"}},
		Options{Command: "server", Name: "parcels"},
		[]string{"+++ b/cmd/server/main.go", "+    client_id: parcels"},
	},
	"newApp in another file": {
		changes{"cmd/server/main.go": {"func newApp(", "func oldApp("}, "cmd/server/app.go": {"", appFile("main")}},
		Options{},
		[]string{"+++ b/cmd/server/app.go", "+func newApp(ms *mqttserver.Server) *k.App {", "+\treturn k.New(k.Server(ms), k.BeforeStart(ms.Start))"},
	},
	"newApp in another package": {
		changes{"cmd/server/main.go": {"func newApp(", "func oldApp("}, "internal/app/app.go": {"", appFile("app")}},
		Options{},
		[]string{"+++ b/internal/app/app.go", "+func newApp(ms *mqttserver.Server) *k.App {"},
	},
	"getters": {
		changes{"cmd/server/main.go": {"wireApp(bc.Server, bc.Data, logger)", "wireApp(bc.GetServer(), bc.GetData(), logger)"}},
		Options{},
		[]string{"wireApp(bc.GetServer(), bc.GetData(), bc.GetMqtt(), logger)"},
	},
	"the whole configuration": {
		changes{
			"cmd/server/main.go": {"wireApp(bc.Server, bc.Data, logger)", "wireApp(&bc, logger)"},
			"cmd/server/wire.go": {"wireApp(*conf.Server, *conf.Data, log.Logger)", "wireApp(c *conf.Bootstrap, logger log.Logger)"},
		},
		Options{},
		[]string{"wireApp(&bc, bc.GetMqtt(), logger)", "wireApp(c *conf.Bootstrap, mqtt *kratosmqttv1.Settings, logger log.Logger)"},
	},
	"a provider set of several lines": {
		changes{"internal/data/data.go": {"wire.NewSet(NewData, NewGreeterRepo)", "wire.NewSet(\n\tNewData,\n\tNewGreeterRepo, // rows\n)"}},
		Options{},
		[]string{"+\tNewMQTTStores,\n+\tNewMQTTBroker,\n+\tNewMQTTClientConn,\n+\tNewGreetingPublisher,\n+\tNewGreetingRepo,\n"},
	},
	"a provider set in another file": {
		changes{"internal/biz/biz.go": {}, "internal/biz/sets.go": {"", "package biz\n\nimport \"github.com/google/wire\"\n\nvar ProviderSet = wire.NewSet(NewGreeterUsecase)\n"}},
		Options{},
		[]string{"+++ b/internal/biz/sets.go"},
	},
	"no Makefile": {changes{"Makefile": {}}, Options{}, []string{"+++ b/cmd/server/main.go"}},
	"another file of the configuration": {
		changes{"configs/config.yaml": {}, "configs/config.yml": {"", "server: {}"}},
		Options{},
		[]string{"+++ b/configs/config.yml", "+mqtt:\n"},
	},
	"one field less, and a reserved number": {
		changes{"internal/conf/conf.proto": {"  Data data = 2;\n}", "  Data data = 2; // rows\n  reserved 3 to 7;\n}"}},
		Options{},
		[]string{"+  kratosmqtt.v1.Settings mqtt = 8;"},
	},
}

// appFile has newApp in a package.
func appFile(pkg string) string {
	return "package " + pkg + "\n\nimport k \"github.com/go-kratos/kratos/v2\"\n\nfunc newApp() *k.App {\n\treturn k.New(k.Server())\n}\n"
}

// TestOddProjects changes projects that are not quite as kratos-layout makes them, and takes the
// changes back: with both ends of lines, and with a second event in between.
func TestOddProjects(t *testing.T) {
	t.Parallel()
	for name, tt := range odd {
		for _, ends := range []string{"\n", "\r\n"} {
			t.Run(name+map[string]string{"\n": "", "\r\n": ", lines of Windows"}[ends], func(t *testing.T) {
				t.Parallel()
				dir := write(t, scaffold.KratosV2, tt.change)
				if name == "another folder of the command" {
					full := write(t, scaffold.KratosV2, nil)
					if err := os.Rename(filepath.Join(full, "cmd/server"), filepath.Join(dir, "cmd/parcel-service")); err != nil {
						t.Fatal(err)
					}
				}
				if strings.HasPrefix(name, "newApp in") { // newApp was renamed: nothing else may call kratos.New
					file := filepath.Join(dir, "cmd/server/main.go")
					text, err := os.ReadFile(file)
					if err == nil {
						err = os.WriteFile(file, []byte(strings.Replace(string(text), "kratos.New(", "kratos.Old(", 1)), 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				for name, text := range texts(t, dir) {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "\n", ends)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				before := texts(t, dir)
				p := opened(t, dir, tt.options)
				r, err := planned(t, p)
				if err != nil {
					t.Fatal(err)
				}
				diff := strings.ReplaceAll(p.Diff(), "\r\n", "\n")
				for _, want := range tt.want {
					if !strings.Contains(diff, want) {
						t.Errorf("no %q in\n%s", want, diff)
					}
				}
				if err := errors.Join(r.seal(p, nil), p.Apply()); err != nil {
					t.Fatal(err)
				}
				for name, text := range texts(t, dir) {
					if was, ok := before[name]; ok && was != "" && crlf([]byte(was)) != crlf([]byte(text)) && !strings.HasSuffix(name, ".pb.go") {
						t.Errorf("%s has other ends of lines:\n%q", name, text)
					}
				}
				if again, err := planned(t, opened(t, dir, tt.options)); again != nil || err != nil {
					t.Errorf("added twice: %v, %v", again, err)
				}
				p = opened(t, dir, Options{})
				takenBack(t, p, false)
				if err := p.Apply(); err != nil {
					t.Fatal(err)
				}
				after := texts(t, dir)
				for _, name := range slices.Sorted(maps.Keys(before)) {
					if after[name] != before[name] {
						t.Errorf("%s was\n%q\nand is\n%q", name, before[name], after[name])
					}
					delete(after, name)
				}
				if len(after) > 0 {
					t.Errorf("left over: %v", slices.Sorted(maps.Keys(after)))
				}
			})
		}
	}
}

// takenBack undoes what the record has, without a trial.
func takenBack(t *testing.T, p *Project, force bool) {
	t.Helper()
	var errs []error
	for name, sum := range p.record.Created {
		errs = append(errs, p.removeFile(name, sum, force))
	}
	for _, e := range slices.Backward(p.record.Edits) {
		errs = append(errs, p.takeBack(e, force))
	}
	for name, text := range p.record.Before {
		errs = append(errs, p.Write(name, []byte(text)))
	}
	if err := errors.Join(append(errs, p.Set.Remove(recordFile))...); err != nil {
		t.Fatal(err)
	}
}

// TestRefused names what is not as expected, and its place, and changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]changes{
		"cmd: no function calls wire.Build: want one as cmd/server/wire.go of kratos-layout":                           {"cmd/server/wire.go": {}},
		"cmd: cmd/job and cmd/server call wire.Build: want --command":                                                  {"cmd/job/wire.go": {"", "package main\n\nfunc wireJob() { wire.Build() }\n"}},
		"internal/biz: no Go file declares ProviderSet":                                                                {"internal/biz/biz.go": {}},
		"internal/data/data.go:10: ProviderSet calls wire.NewSet 0 times, want once":                                   {"internal/data/data.go": {"wire.NewSet(NewData, NewGreeterRepo)", "wire.NewSets()"}},
		"internal: 0 .proto files have a message Bootstrap, want one":                                                  {"internal/conf/conf.proto": {"message Bootstrap", "message Config"}},
		"internal/conf/conf.proto:1:1":                                                                                 {"internal/conf/conf.proto": {"syntax", "sintax"}},
		"internal/conf/conf.proto:11: the field mqtt of Bootstrap is a Data, want kratosmqtt.v1.Settings":              {"internal/conf/conf.proto": {"Data data = 2", "Data mqtt = 2"}},
		"configs: there is no config.yaml":                                                                             {"configs/config.yaml": {}},
		"configs/config.yaml:1: want a mapping, one key a line":                                                        {"configs/config.yaml": {"", "{server: {}}\n"}},
		"configs/config.yaml:2: there is a section mqtt already":                                                       {"configs/config.yaml": {"", "a: 1\nmqtt: {}\n"}},
		"cmd/server: 0 functions call kratos.New of Kratos v2 or v3, want one":                                         {"cmd/server/main.go": {"kratos.New(", "kratos.Make("}},
		"cmd/server/main.go:35: newApp calls kratos.Server with a list, want arguments one by one":                     {"cmd/server/main.go": {"gs,\n\t\t\ths,\n", "servers...,\n"}},
		"cmd/server: 0 functions call wireApp, want one":                                                               {"cmd/server/main.go": {"wireApp(", "wireApps("}},
		"main calls wireApp with 2 arguments, want 3":                                                                  {"cmd/server/main.go": {"bc.Server, bc.Data, logger", "bc.Server, logger"}},
		"main calls wireApp with a, b, logger: want a part of conf.Bootstrap":                                          {"cmd/server/main.go": {"bc.Server, bc.Data, logger", "a, b, logger"}},
		"internal/server/amqp.go:3: NewMQTTServer is there already, and is not one of this module":                     {"internal/server/amqp.go": {"", "package server\n\nfunc NewMQTTServer() {}\n"}},
		"internal/server/mqtt.go exists, and add would write it: want a project without it":                            {"internal/server/mqtt.go": {"", "package server\n"}},
		"internal/biz/greeting.go exists, and add would write it: want a project without it; --event names another ev": {"internal/biz/greeting.go": {"", "package biz\n"}},
		"internal/data/data.go:3:1: expected":                                                                          {"internal/data/data.go": {"", "package data\n\nfun x() {}\n"}},
		"name \"S\": want 3 to 40 lower-case letters":                                                                  {"go.mod": {"module example.com/shop", "module example.com/S"}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			dir := write(t, scaffold.KratosV2, c)
			before := texts(t, dir)
			p := opened(t, dir, Options{})
			err := p.Add(t.Context(), event(t, "greeting"), func(string) error { return errors.New("it was tried") })
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
			after := texts(t, dir)
			for name, text := range before {
				if after[name] != text {
					t.Errorf("%s was changed", name)
				}
			}
			if len(after) != len(before) {
				t.Errorf("there are %d files, not %d", len(after), len(before))
			}
		})
	}
}

// TestAllProblemsAtOnce are in the order in which a person would look for the places.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	p := opened(t, write(t, scaffold.KratosV2, changes{"configs/config.yaml": {}, "internal/biz/biz.go": {}, "internal/server/server.go": {}}), Options{})
	err := p.Add(t.Context(), event(t, "greeting"), nil)
	const want = "configs: there is no config.yaml, which kratos-layout has\ninternal/biz: no Go file declares ProviderSet\ninternal/server: no Go file declares ProviderSet"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

// TestReadOnlyFile is refused before anything is tried.
func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	dir := write(t, scaffold.KratosV2, nil)
	if err := os.Chmod(filepath.Join(dir, "cmd/server/main.go"), 0o400); err != nil {
		t.Fatal(err)
	}
	err := opened(t, dir, Options{}).Add(t.Context(), event(t, "greeting"), func(string) error { return errors.New("it was tried") })
	if err == nil || !strings.Contains(err.Error(), "cmd/server/main.go is read-only") {
		t.Errorf("%v", err)
	}
}

// TestTrialThatIsNotWanted ends before anything is written.
func TestTrialThatIsNotWanted(t *testing.T) {
	t.Parallel()
	dir := write(t, scaffold.KratosV2, nil)
	before := texts(t, dir)
	unwanted := errors.New("unwanted")
	if err := opened(t, dir, Options{}).Add(t.Context(), event(t, "greeting"), func(string) error { return unwanted }); !errors.Is(err, unwanted) {
		t.Errorf("%v", err)
	}
	if after := texts(t, dir); len(after) != len(before) {
		t.Errorf("left over: %v", slices.Sorted(maps.Keys(after)))
	}
}

// TestEventOfAnotherPackage adds a second event, to a folder of the API that is there, and another one
// to that of the first event.
func TestEventOfAnotherPackage(t *testing.T) {
	t.Parallel()
	for pkg, want := range map[string][]string{
		"parcel_sent": {
			"+\tparcelsentv1 \"example.com/shop/api/parcel_sent/v1\"\n", "+\tparcelsentv1.RegisterOrderPaidEventsMQTTServer(srv, orderPaidService)\n",
			"new        api/parcel_sent/v1/order_paid_mqtt.pb.go",
		},
		"": {"+\tshopv1.RegisterOrderPaidEventsMQTTServer(srv, orderPaidService)\n", "generated  api/shop/v1/shop.asyncapi.yaml"},
	} {
		dir := write(t, scaffold.KratosV2, changes{"api/parcel_sent/v1/x.txt": {"", "x"}})
		p := opened(t, dir, Options{})
		r, err := planned(t, p)
		if err != nil {
			t.Fatal(err)
		}
		mod := "module example.com/shop\n\nrequire " + scaffold.OwnModule + " v0.0.0\n\nreplace " + scaffold.OwnModule + " => " + p.service.Replace + "\n"
		if err := errors.Join(p.Write("go.mod", []byte(mod)), r.seal(p, nil), p.Apply()); err != nil {
			t.Fatal(err)
		}
		p = opened(t, dir, Options{})
		tried := errors.New("it was tried")
		if err := p.AddEvent(t.Context(), event(t, "order-paid"), pkg, func(string) error { return tried }); !errors.Is(err, tried) {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(p.Diff(), text) {
				t.Errorf("no %q in\n%s", text, p.Diff())
			}
		}
		if err := p.AddEvent(t.Context(), event(t, "order-paid"), "missing", nil); err == nil || !strings.Contains(err.Error(), "there is no folder api/missing/v1") {
			t.Errorf("%v", err)
		}
	}
}

// TestGoMod takes back what add changed in a go.mod that was changed again since.
func TestGoMod(t *testing.T) {
	t.Parallel()
	const (
		before = "module m\n\ngo 1.22\n\ntoolchain go1.24.6\n\nrequire (\n\tx.example/a v1.0.0\n\tx.example/b v1.0.0 // indirect\n)\n"
		after  = "module m\n\ngo 1.26.7\n\nrequire (\n\tx.example/a v1.5.0\n\tx.example/ours v0.1.0\n)\n\nrequire (\n\tx.example/b v1.5.0 // indirect\n\tx.example/c v1.0.0 // indirect\n)\n\nreplace x.example/ours => ../ours\n\ntool " + plugin + "\n"
		now    = "module m\n\ngo 1.26.7\n\nrequire (\n\tx.example/a v1.6.0\n\tx.example/mine v1.0.0\n\tx.example/ours v0.1.0\n)\n\nrequire (\n\tx.example/b v1.5.0 // indirect\n\tx.example/c v1.0.0 // indirect\n)\n\nreplace x.example/ours => ../ours\n\nreplace x.example/mine => ../mine\n\ntool " + plugin + "\n"
		want   = "module m\n\ngo 1.22\n\ntoolchain go1.24.6\n\nrequire (\n\tx.example/a v1.6.0\n\tx.example/mine v1.0.0\n)\n\nrequire x.example/b v1.0.0 // indirect\n\nreplace x.example/mine => ../mine\n"
	)
	got, err := withoutAdded([]byte(now), []byte(before), []byte(after))
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}
