package scaffold_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// TestNothingIsLeftAfterAnError makes a service of a version that cannot be fetched.
func TestNothingIsLeftAfterAnError(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	dir := t.TempDir()
	_, err := scaffold.New(t.Context(), scaffold.Service{Name: "orders", Kratos: scaffold.KratosV3, Version: "v0.999.0"}, filepath.Join(dir, "orders"))
	if err == nil || !strings.Contains(err.Error(), "go mod download") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := scaffold.New(t.Context(), scaffold.Service{Name: "orders", Kratos: scaffold.KratosV3}, dir)
	if err == nil || !strings.Contains(err.Error(), "nothing is overwritten") {
		t.Errorf("%v", err)
	}
}

// service has the files that event looks at.
var service = map[string]string{
	"go.mod":                         "module demo\n",
	"api/demo/v1/x.txt":              "",
	"cmd/demo/wire.go":               "//go:build wireinject\n\npackage main\n",
	"internal/biz/providers.go":      "package biz\n\nvar ProviderSet = wire.NewSet(\n\tNewFirstUsecase,\n)\n",
	"internal/data/data.go":          "package data\n\nvar ProviderSet = wire.NewSet(NewData)\n",
	"internal/service/service.go":    "package service\n\nvar ProviderSet = wire.NewSet()\n",
	"internal/server/subscribers.go": "package server\n\nimport mqttserver \"github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt\"\n\nfunc NewMQTTServer() *mqttserver.Server {\n\tsrv := mqttserver.NewServer()\n\treturn srv\n}\n",
}

// project writes these files, with changes; a change to "" leaves the file out.
func project(t *testing.T, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range service {
		if changed, ok := changes[name]; ok {
			text = changed
			if text == "" {
				continue
			}
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestChangesAreTakenBack adds an event to a service whose wiring cannot be made: it has no go.mod
// that names wire as a tool.
func TestChangesAreTakenBack(t *testing.T) {
	t.Parallel()
	dir := project(t, nil)
	p := opened(t, dir)
	e, err := scaffold.NewEvent("order-paid")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AddEvent(t.Context(), e, ""); err != nil {
		t.Fatal(err)
	}
	diff := p.Diff()
	for _, want := range []string{
		"+\tNewOrderPaidUsecase,\n", "+var ProviderSet = wire.NewSet(NewData, NewOrderPaidPublisher, NewOrderPaidRepo)\n",
		"+func NewMQTTServer(orderPaidService *service.OrderPaidService) *mqttserver.Server {\n", "+\tdemov1.RegisterOrderPaidEventsMQTTServer(srv, orderPaidService)\n",
		"new        internal/server/order_paid_test.go", "new        api/demo/v1/order_paid_mqtt.pb.go",
	} {
		if !strings.Contains(diff, want) {
			t.Errorf("no %q in\n%s", want, diff)
		}
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	if err := p.Wire(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("%v", err)
	}
	for name, want := range service {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "internal/biz/order_paid.go")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left over: %v", err)
	}
}

// TestVersions compares the versions that a service requires with those that this module is tested
// with.
func TestVersions(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile("templates/common/go.mod.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	const root = "../../../../"
	version := regexp.MustCompile(`(?m)^\s*(?:require )?(go|github.com/go-kratos/kratos/v\d) (v?\d\S+)`)
	for _, file := range []string{root + "go.mod", root + "kratosv3/go.mod"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := version.FindAllStringSubmatch(string(text), -1)
		if len(found) < 2 {
			t.Errorf("%s: found %v", file, found)
		}
		for _, m := range found {
			if !strings.Contains(string(template), m[1]+" "+m[2]+"\n") {
				t.Errorf("%s has %s %s, which the services do not require", file, m[1], m[2])
			}
		}
	}
}

// TestOtherPackage adds an event to another package of the API.
func TestOtherPackage(t *testing.T) {
	t.Parallel()
	dir := project(t, nil)
	if err := os.MkdirAll(filepath.Join(dir, "api/shared_things/v1"), 0o755); err != nil {
		t.Fatal(err)
	}
	e, err := scaffold.NewEvent("order-paid")
	if err != nil {
		t.Fatal(err)
	}
	p := opened(t, dir)
	if err := p.AddEvent(t.Context(), e, "shared_things"); err != nil {
		t.Fatal(err)
	}
	if text, err := p.Read("internal/service/order_paid.go"); err != nil || !strings.Contains(string(text), `sharedthingsv1 "demo/api/shared_things/v1"`) {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := p.Read("api/shared_things/v1/order_paid_mqtt.pb.go"); err != nil {
		t.Error(err)
	}
}

// TestOtherProjectsAreRefused names what is missing.
func TestOtherProjectsAreRefused(t *testing.T) {
	t.Parallel()
	e, err := scaffold.NewEvent("order-paid")
	if err != nil {
		t.Fatal(err)
	}
	for want, changes := range map[string]map[string]string{
		"want the folder of a Go module":               {"go.mod": ""},
		"want one command with a wire.go":              {"cmd/demo/wire.go": ""},
		"no file declares NewMQTTServer":               {"internal/server/subscribers.go": "package server\n"},
		"a file that does not import transport/mqtt":   {"internal/server/subscribers.go": "package server\n\nfunc NewMQTTServer() {}\n"},
		"subscribers.go:3:1: expected declaration":     {"internal/server/subscribers.go": "package server\n\nfun NewMQTTServer() {}\n"},
		"there is no folder api/demo/v1":               {"api/demo/v1/x.txt": ""},
		"internal/data: no file declares ProviderSet":  {"internal/data/data.go": "package data\n"},
		"ProviderSet calls wire.NewSet 0 times":        {"internal/biz/providers.go": "package biz\n\nvar ProviderSet = 1\n"},
		"has no statement that begins with \"return\"": {"internal/server/subscribers.go": strings.Replace(service["internal/server/subscribers.go"], "\treturn srv\n", "", 1)},
	} {
		dir := project(t, changes)
		p, err := scaffold.OpenProject(dir)
		if err == nil {
			err = errors.Join(p.AddEvent(t.Context(), e, ""), p.Close())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestHTTPAfterwards asks for HTTP where the handler of the event is there already, without it.
func TestHTTPAfterwards(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"internal/service/service.go": "package service\n\nvar ProviderSet = wire.NewSet(NewOrderPaidService)\n"})
	if err := os.WriteFile(filepath.Join(dir, "internal/service/order_paid.go"), []byte("package service\n\nfunc NewOrderPaidService() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := scaffold.NewEvent("order-paid")
	if err != nil {
		t.Fatal(err)
	}
	e.HTTP = true
	if err := opened(t, dir).AddEvent(t.Context(), e, ""); err == nil || !strings.Contains(err.Error(), "internal/service/order_paid.go has no method SendOrderPaid") {
		t.Errorf("%v", err)
	}
}

func opened(t *testing.T, dir string) *scaffold.Project {
	t.Helper()
	p, err := scaffold.OpenProject(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
