package scaffold

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/changeset"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/generate"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/gosource"
)

// Project is a service that New made.
type Project struct {
	folder  string
	service Service
	*changeset.Set
}

// OpenProject recognises a service that New made. Close it.
func OpenProject(folder string) (*Project, error) {
	module, err := Module(folder)
	if err != nil {
		return nil, err
	}
	commands, err := fs.Glob(os.DirFS(folder), "cmd/*/wire.go")
	if err != nil || len(commands) != 1 {
		return nil, fmt.Errorf("%s: want one command with a wire.go below cmd, as kratos-mqtt new makes it without --minimal, not %v", folder, commands)
	}
	s := Service{Name: path.Base(path.Dir(commands[0])), Module: module}
	set, err := changeset.Open(folder)
	if err != nil {
		return nil, err
	}
	p := &Project{folder, s, set}
	if p.service.Kratos, err = p.kratos(); err != nil {
		return nil, errors.Join(err, set.Close())
	}
	return p, nil
}

// Module returns the module path of a folder.
func Module(folder string) (string, error) {
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: want the folder of a Go module: %w", folder, err)
	}
	if err != nil {
		return "", err
	}
	if module := modfile.ModulePath(text); module != "" {
		return module, nil
	}
	return "", fmt.Errorf("%s: go.mod names no module", folder)
}

// kratos returns the version of Kratos whose front the server layer imports.
func (p *Project) kratos() (string, error) {
	_, f, err := p.declaring("internal/server", "NewMQTTServer")
	switch {
	case err != nil:
		return "", fmt.Errorf("kratos-mqtt new did not make this service, or made a minimal one: %w", err)
	case f.Imports(OwnModule + FrontV3 + "/transport/mqtt"):
		return KratosV3, nil
	case f.Imports(OwnModule + "/transport/mqtt"):
		return KratosV2, nil
	}
	return "", errors.New("internal/server: NewMQTTServer is in a file that does not import transport/mqtt")
}

// declaring returns the Go file of a folder that declares a name.
func (p *Project) declaring(folder, name string) (string, *gosource.File, error) {
	files, err := fs.Glob(os.DirFS(p.folder), folder+"/*.go")
	if err != nil {
		return "", nil, err
	}
	for _, file := range files {
		text, err := p.Read(file)
		if err != nil {
			return "", nil, err
		}
		f, err := gosource.Parse(file, text)
		if err != nil {
			return "", nil, err
		}
		if f.Has(name) {
			return file, f, nil
		}
	}
	return "", nil, fmt.Errorf("%s: no file declares %s", folder, name)
}

// edit changes the file of a folder that declares a name.
func (p *Project) edit(folder, name string, change func(f *gosource.File) error) error {
	file, f, err := p.declaring(folder, name)
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	return p.Write(file, f.Bytes())
}

// AddEvent adds an event through all layers: new files, which are left alone if they exist, the
// wiring in those that are there, and generated code. The package is the folder below api; "" is
// that of the service. Nothing is written before Apply; Wire follows it.
func (p *Project) AddEvent(ctx context.Context, e Event, pkg string) error {
	v := p.service.values(e).in(pkg)
	if info, err := os.Stat(filepath.Join(p.folder, "api", v.Package, "v1")); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder api/%s/v1: want --service with a folder below api", v.Package)
	}
	files, err := v.render(eventForm)
	if err != nil {
		return err
	}
	for _, name := range generate.Names(files) {
		if _, err := p.Read(name); errors.Is(err, fs.ErrNotExist) {
			err = p.Write(name, files[name])
			if err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	if err := p.serves(v.Event); err != nil {
		return err
	}
	if err := p.wiring(v); err != nil {
		return err
	}
	return p.generate(ctx)
}

// serves returns an error if an event is to be served by HTTP, but its service was made without.
func (p *Project) serves(e Event) error {
	if !e.HTTP {
		return nil
	}
	file, method := "internal/service/"+e.File+".go", "Send"+e.Go
	text, err := p.Read(file)
	if err == nil && !strings.Contains(string(text), ") "+method+"(") {
		err = fmt.Errorf("%s has no method %s, which HTTP needs: the event was added without --http, so write it by hand", file, method)
	}
	return err
}

// wiring adds the constructors of an event to the provider sets, and the event to the servers.
func (p *Project) wiring(v values) error {
	for _, set := range []struct {
		folder       string
		constructors []string
	}{
		{"internal/biz", []string{"New" + v.Event.Go + "Usecase"}},
		{"internal/data", []string{"New" + v.Event.Go + "Publisher", "New" + v.Event.Go + "Repo"}},
		{"internal/service", []string{"New" + v.Event.Go + "Service"}},
	} {
		err := p.edit(set.folder, "ProviderSet", func(f *gosource.File) (err error) {
			for _, c := range set.constructors {
				err = errors.Join(err, f.Argument("ProviderSet", "wire.NewSet", c))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	name, typ := v.Event.Var+"Service", "*service."+v.Event.Go+"Service"
	err := p.edit("internal/server", "NewMQTTServer", func(f *gosource.File) error {
		api, err := f.Import(v.Alias+"v1", fmt.Sprintf("%s/api/%s/v1", v.Module, v.Package))
		return errors.Join(err,
			f.Parameter("NewMQTTServer", name, typ, "logger"),
			f.Statement("NewMQTTServer", fmt.Sprintf("%s.Register%sEventsMQTTServer(srv, %s)", api, v.Event.Go, name), "return"))
	})
	if err != nil || !v.Event.HTTP {
		return err
	}
	return p.edit("internal/server", "NewHTTPServer", func(f *gosource.File) error {
		return errors.Join(f.Parameter("NewHTTPServer", name, typ, "logger"),
			f.Statement("NewHTTPServer", fmt.Sprintf("serve%s(srv, %s)", v.Event.Go, name), "return"))
	})
}

// generate generates the code of all .proto files, with the changes so far.
func (p *Project) generate(ctx context.Context) error {
	protos, err := generate.Sources(os.DirFS(p.folder))
	if err != nil {
		return err
	}
	for _, name := range p.Files() {
		if path.Ext(name) != ".proto" {
			continue
		}
		if protos[name], err = p.Read(name); err != nil {
			return err
		}
	}
	made, err := generate.Files(ctx, generate.Project{Module: p.service.Module, Protos: protos})
	if err != nil {
		return err
	}
	for name, text := range made {
		if err := p.Write(name, text); err != nil {
			return err
		}
	}
	return nil
}

// Wire runs wire, which is a tool of the service. If it fails, what Apply wrote is taken back.
func (p *Project) Wire(ctx context.Context) error {
	if _, err := Go(ctx, p.folder, "tool", "wire", "./cmd/"+p.service.Name); err != nil {
		return errors.Join(fmt.Errorf("nothing was changed: %w", err), p.Revert())
	}
	return nil
}
