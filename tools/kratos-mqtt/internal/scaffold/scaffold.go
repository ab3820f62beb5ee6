// Package scaffold makes services whose events go over MQTT, in the form of kratos-layout, and adds
// events to them. Such a service imports this module: nothing of it is copied.
package scaffold

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"golang.org/x/mod/modfile"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/generate"
)

//go:embed all:templates
var templates embed.FS

// Folders of templates: what all services have, one or the other form of a service, and one event.
const (
	commonForm  = "common"
	fullForm    = "full"
	minimalForm = "minimal"
	eventForm   = "event"
	// addedForm is what a project of kratos-layout gets once, and plainForm has the files of an event
	// that are others there, because it has no database.
	addedForm = "added"
	plainForm = "plain"
)

// Versions of Kratos that a service may have.
const (
	KratosV2 = "v2"
	KratosV3 = "v3"
	// DefaultKratos is that of a new service.
	DefaultKratos = KratosV3
)

// Service is what New makes.
type Service struct {
	// Name is checked by CheckName. It is that of the command, the client id, and the first level
	// of topics.
	Name string
	// Module is the module path. Default: the name.
	Module string
	// Kratos is KratosV2 or KratosV3.
	Kratos string
	// Minimal is the smallest form: no layers, no database.
	Minimal bool
	// Version is that of this module, such as v0.1.0.
	Version string
	// Replace is the folder of this module, in place of a published version. Default: none.
	Replace string
}

// values are what templates know.
type values struct {
	Service
	V3             bool
	Front          string // import path of the folder of both layers
	KratosModule   string
	Package, Alias string
	Logger         string // type
	ReplaceV3      string
	Event          Event
	Plain          bool // a project of kratos-layout
}

// Import paths: of this module, and below it that of the front for Kratos v3, a module of its own.
const (
	OwnModule = "github.com/kratos-mqtt/kratos-mqtt"
	FrontV3   = "/kratosv3"
)

// imported are the files of this module that .proto files of a service import.
//
//nolint:gochecknoglobals // a constant
var imported = []string{"kratosmqtt/v1/config.proto", "kratosmqtt/v1/options.proto"}

// values returns what the templates of a service know.
func (s Service) values(e Event) values {
	v := values{
		Service: s, Front: OwnModule, Logger: "log.Logger", Package: snake(s.Name), Alias: strings.ReplaceAll(s.Name, "-", ""),
		Event: e,
	}
	v.KratosModule = "github.com/go-kratos/kratos/" + s.Kratos
	if s.Kratos == KratosV3 {
		v.V3, v.Front, v.Logger = true, OwnModule+FrontV3, "*slog.Logger"
	}
	if s.Replace != "" {
		v.Replace, v.ReplaceV3 = modfile.AutoQuote(s.Replace), modfile.AutoQuote(s.Replace+FrontV3)
	}
	return v
}

// New makes a service in a folder that does not exist yet. It needs the go command, which fetches
// the modules that are not in its cache. After an error there is no folder.
func New(ctx context.Context, s Service, folder string) (files []string, err error) {
	if s.Module == "" {
		s.Module = s.Name
	}
	if err := errors.Join(CheckName(s.Name), CheckModule(ctx, s.Module)); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(folder); err == nil {
		return nil, fmt.Errorf("%s exists: want a folder that does not, nothing is overwritten", folder)
	}
	event, err := NewEvent("greeting")
	if err != nil {
		return nil, err
	}
	event.HTTP = !s.Minimal
	all, err := s.files(ctx, event)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(folder), folderMode); err != nil {
		return nil, err
	}
	beside, err := os.MkdirTemp(filepath.Dir(folder), ".kratos-mqtt-new-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(beside)) }() // it is not there any more after a success
	for name, text := range all {
		if err := write(filepath.Join(beside, filepath.FromSlash(name)), text); err != nil {
			return nil, err
		}
	}
	if err := s.require(ctx, beside); err != nil {
		return nil, err
	}
	if err := os.Chmod(beside, folderMode); err != nil {
		return nil, err
	}
	if files, err = list(beside); err != nil {
		return nil, err
	}
	return files, os.Rename(beside, folder)
}

// files returns all files but go.sum and what is copied of this module.
func (s Service) files(ctx context.Context, e Event) (map[string][]byte, error) {
	forms := []string{commonForm, fullForm, eventForm}
	if s.Minimal {
		forms = []string{commonForm, minimalForm, path.Join(eventForm, "api")}
	}
	v, all := s.values(e), make(map[string][]byte)
	for _, form := range forms {
		files, err := v.render(form)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, files)
	}
	return all, s.generate(ctx, all)
}

// Added returns the files of an event in a project of kratos-layout, without generated ones; the first
// event brings what all of them need. The package is the folder below api; "" is that of the service.
func (s Service) Added(e Event, pkg string, first bool) (map[string][]byte, error) {
	v, all := s.values(e).in(pkg), make(map[string][]byte)
	v.Plain = true
	forms := []string{path.Join(eventForm, "api"), path.Join(eventForm, "internal/biz"), path.Join(eventForm, "internal/service"), plainForm}
	if first {
		forms = append(forms, addedForm)
	}
	for _, form := range forms {
		files, err := v.render(form)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, files)
	}
	return all, nil
}

// API returns import path and name of the package of events; "" is that of the service.
func (s Service) API(pkg string) (path, name string) {
	v := s.values(Event{}).in(pkg)
	return fmt.Sprintf("%s/api/%s/v1", v.Module, v.Package), v.Alias + "v1"
}

// in returns the values for another package of the API; "" is that of the service.
func (v values) in(pkg string) values {
	if pkg != "" {
		v.Package, v.Alias = pkg, strings.ReplaceAll(pkg, "_", "")
	}
	return v
}

// generate adds the generated files to those of a project.
func (s Service) generate(ctx context.Context, all map[string][]byte) error {
	protos := make(map[string][]byte)
	for name, text := range all {
		if path.Ext(name) == ".proto" {
			protos[name] = text
		}
	}
	made, err := generate.Files(ctx, generate.Project{Module: s.Module, Protos: protos})
	maps.Copy(all, made)
	return err
}

// render returns the files of a form by their paths in a project.
func (v values) render(form string) (map[string][]byte, error) {
	all := make(map[string][]byte)
	dir := path.Join("templates", form)
	err := fs.WalkDir(templates, dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		_, file, _ := strings.Cut(strings.TrimPrefix(name, "templates/"), "/")
		file = v.path(strings.TrimSuffix(file, ".tmpl"))
		if strings.HasSuffix(file, "_http.go") && !v.Event.HTTP {
			return nil
		}
		text, err := v.execute(name)
		if err != nil {
			return err
		}
		if path.Ext(file) == ".go" {
			if text, err = format.Source(text); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		all[file] = text
		return nil
	})
	return all, err
}

// path returns the path of a file of a project from that of its template.
func (v values) path(name string) string {
	name = strings.NewReplacer("NAME", v.Name, "PACKAGE", v.Package, "EVENT", v.Event.File).Replace(name)
	if name == "gitignore" {
		return ".gitignore"
	}
	return name
}

func (v values) execute(name string) ([]byte, error) {
	text, err := templates.ReadFile(name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, v)
	return out.Bytes(), err
}
