// Package layout adds MQTT to a project that was made from kratos-layout, and takes it out again.
//
// What people write is changed at positions of syntax trees, and nothing else of it. All is tried in
// a copy first: generated, wired and built. A project that is not as kratos-layout makes it, or does
// not build with the changes, stays as it is.
package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/changeset"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/gosource"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/protosource"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// Folders of the layers.
const (
	bizLayer     = "internal/biz"
	dataLayer    = "internal/data"
	serviceLayer = "internal/service"
	serverLayer  = "internal/server"

	providerSet = "ProviderSet"
	newSet      = "wire.NewSet"
)

// Project is a folder with a project, and the changes of its files.
type Project struct {
	*changeset.Set
	folder  string
	service scaffold.Service
	record  *record // nil if add did not run

	// Places that Add changes.
	command, conf, config string // folder of the command, files
	injector, call, app   place  // the function that calls wire.Build, its caller, the one that calls kratos.New
	kratosName, bootstrap string // name of the package; the field or getter of MQTT's settings
	injectorAt            int    // index of the new parameter
	notes                 []string
}

// Options say what cannot be seen in a project.
type Options struct {
	// Name is the first level of topics, the client id and the folder below api. Default: that of
	// the command, or of the module if the command is called server.
	Name string
	// Command is the folder below cmd. It is needed if several ones use Wire.
	Command string
	// Version and Replace are those of this module, see [scaffold.Service].
	Version, Replace string
}

// Open opens the folder of a project. Close it.
func Open(folder string, o Options) (*Project, error) {
	module, err := scaffold.Module(folder)
	if err != nil {
		return nil, err
	}
	set, err := changeset.Open(folder)
	if err != nil {
		return nil, err
	}
	p := &Project{Set: set, folder: folder, command: o.Command}
	p.service = scaffold.Service{Name: o.Name, Module: module, Version: o.Version, Replace: o.Replace}
	if p.record, err = p.readRecord(); err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return p, nil
}

// Added reports whether Add ran in this project.
func (p *Project) Added() bool { return p.record != nil }

// Notes are what a person should know about the changes.
func (p *Project) Notes() []string { return p.notes }

// Command returns the folder of the command that Add changed.
func (p *Project) Command() string { return p.command }

// recognise finds all places, or returns all problems.
func (p *Project) recognise() error {
	if err := p.findCommand(); err != nil { // the other places depend on it
		return err
	}
	var errs []error
	for _, find := range []func() error{p.findApp, p.findCall, p.findConf, p.findConfig, p.findSets} {
		errs = append(errs, find())
	}
	return errors.Join(errs...)
}

// findCommand finds the only folder below cmd with a function that calls wire.Build, or the one that
// was asked for.
func (p *Project) findCommand() error {
	found, err := p.calling("cmd", true, func(*gosource.File) string { return "wire.Build" })
	if err != nil {
		return err
	}
	var folders []string
	for _, at := range found {
		folder := path.Dir(at.file)
		if p.command == "" || folder == p.command || strings.TrimPrefix(folder, "cmd/") == p.command {
			p.injector = at
			folders = append(folders, folder)
		}
	}
	switch {
	case len(folders) == 0 && p.command != "":
		return fmt.Errorf("cmd/%s: no function calls wire.Build: want one as cmd/server/wire.go of kratos-layout has it", strings.TrimPrefix(p.command, "cmd/"))
	case len(folders) == 0:
		return errors.New("cmd: no function calls wire.Build: want one as cmd/server/wire.go of kratos-layout has it")
	case len(slices.Compact(folders)) > 1:
		return fmt.Errorf("cmd: %s call wire.Build: want --command with one of these folders", strings.Join(slices.Compact(folders), " and "))
	case len(found) > 1 && len(folders) > 1:
		return fmt.Errorf("%s: several functions call wire.Build, want one", folders[0])
	}
	p.command = folders[0]
	if p.service.Name == "" {
		p.service.Name = path.Base(p.command)
		if slices.Contains([]string{"server", "app", "main", "service"}, p.service.Name) {
			p.service.Name = path.Base(p.service.Module)
		}
	}
	if err := scaffold.CheckName(p.service.Name); err != nil {
		return fmt.Errorf("%w: set another one with --name", err)
	}
	return nil
}

// findApp finds the function that calls kratos.New, and with it the version of Kratos.
func (p *Project) findApp() error {
	version := ""
	callee := func(f *gosource.File) string {
		for _, v := range []string{scaffold.KratosV2, scaffold.KratosV3} {
			if name, ok := f.Name("github.com/go-kratos/kratos/" + v); ok {
				return name + ".New"
			}
		}
		return ""
	}
	found, err := p.calling(p.command, false, callee)
	if err == nil && len(found) == 0 {
		found, err = p.calling("internal", true, callee)
	}
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%s: %d functions call kratos.New of Kratos v2 or v3, want one, as newApp of kratos-layout: %v", p.command, len(found), found)
	}
	p.app = found[0]
	f, err := p.parse(p.app.file)
	if err != nil {
		return err
	}
	for _, v := range []string{scaffold.KratosV2, scaffold.KratosV3} {
		if name, ok := f.Name("github.com/go-kratos/kratos/" + v); ok {
			version, p.kratosName = v, name
		}
	}
	p.service.Kratos = version
	_, servers := f.Arguments(p.app.function, p.kratosName+".Server")
	_, options := f.Arguments(p.app.function, p.kratosName+".New")
	return errors.Join(servers, options)
}

// findCall finds the call of the injector, and what the configuration is called there.
func (p *Project) findCall() error {
	f, err := p.parse(p.injector.file)
	if err != nil {
		return err
	}
	types, err := f.Types(p.injector.function)
	if err != nil {
		return err
	}
	found, err := p.calling(p.command, false, func(*gosource.File) string { return p.injector.function })
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("%s: %d functions call %s, want one, as main of kratos-layout: %v", p.command, len(found), p.injector.function, found)
	}
	p.call = found[0]
	if f, err = p.parse(p.call.file); err != nil {
		return err
	}
	args, err := f.Arguments(p.call.function, p.injector.function)
	if err != nil {
		return err
	}
	if len(args) != len(types) {
		return fmt.Errorf("%s: %s calls %s with %d arguments, want %d", p.call.file, p.call.function, p.injector.function, len(args), len(types))
	}
	p.injectorAt = slices.IndexFunc(types, func(t string) bool { return t == "log.Logger" || t == "*slog.Logger" })
	if p.injectorAt < 0 {
		p.injectorAt = len(types)
	}
	for i, a := range args {
		x, field, ok := strings.Cut(a, ".")
		switch {
		case ok && strings.HasPrefix(field, "Get") && strings.HasSuffix(field, "()"):
			p.bootstrap = x + ".GetMqtt()"
		case ok && strings.HasPrefix(types[i], "*conf."):
			p.bootstrap = x + ".Mqtt"
		case !ok && strings.HasSuffix(types[i], ".Bootstrap"):
			p.bootstrap = strings.TrimPrefix(a, "&") + ".GetMqtt()"
		}
		if p.bootstrap != "" {
			return nil
		}
	}
	return fmt.Errorf("%s: %s calls %s with %s: want a part of conf.Bootstrap, such as bc.Server", p.call.file, p.call.function, p.injector.function, strings.Join(args, ", "))
}

// findConf finds the .proto file with the configuration.
func (p *Project) findConf() error {
	var found []string
	err := fs.WalkDir(os.DirFS(p.folder), "internal", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".proto" {
			return err
		}
		text, err := p.read(name)
		if err != nil {
			return err
		}
		f, err := protosource.Parse(name, text)
		if err == nil && f.Has("Bootstrap") {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("internal: %d .proto files have a message Bootstrap, want one, as internal/conf/conf.proto of kratos-layout: %v", len(found), found)
	}
	p.conf = found[0]
	return nil
}

// findConfig finds the configuration file.
func (p *Project) findConfig() error {
	for _, name := range []string{"configs/config.yaml", "configs/config.yml"} {
		if p.exists(name) {
			p.config = name
			return nil
		}
	}
	return errors.New("configs: there is no config.yaml, which kratos-layout has")
}

// findSets looks for the provider sets.
func (p *Project) findSets() error {
	layers := []string{bizLayer, dataLayer, serviceLayer, serverLayer}
	errs := make([]error, 0, len(layers))
	for _, layer := range layers {
		_, f, err := p.declaring(layer, providerSet)
		if err == nil {
			_, err = f.Arguments(providerSet, newSet)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
