package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// AddEvent adds another event to a project that Add ran in: nothing is written before Apply. What is
// there already is left alone. The package is the folder below api; "" is that of the first event.
func (p *Project) AddEvent(ctx context.Context, e scaffold.Event, pkg string, step Step) error {
	r := p.record
	if e.HTTP {
		return errors.New("--http is for services of kratos-mqtt new: here declare the route with google.api.http, as the other services of the project do")
	}
	if info, err := os.Stat(filepath.Join(p.folder, "api", pkg, "v1")); pkg != "" && (err != nil || !info.IsDir()) {
		return fmt.Errorf("there is no folder api/%s/v1: want --service with a folder below api", pkg)
	}
	p.command = r.Command
	p.lookAround(ctx)
	if err := p.required(r); err != nil {
		return err
	}
	files, err := p.service.Added(e, pkg, false)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if p.exists(name) {
			continue
		}
		r.create(name)
		if err := p.write(name, files[name]); err != nil {
			return err
		}
	}
	edits := p.eventEdits(e)
	register, err := p.register(e, pkg)
	if err != nil {
		return err
	}
	touched := make(map[string]string) // files of the record that are as they were left
	for _, ed := range register {
		if text, err := p.Read(ed.File); err == nil && r.Created[ed.File] == checksum(text) {
			touched[ed.File] = ""
		}
	}
	if err := p.edit(r, append(edits, register...)); err != nil {
		return err
	}
	if len(p.Files()) == 0 {
		return nil
	}
	if err := p.generate(ctx, r); err != nil {
		return err
	}
	if err := p.Writable(); err != nil {
		return err
	}
	library, err := p.service.Library(ctx)
	if err != nil {
		return err
	}
	made, err := p.try(ctx, trial{library: library, step: step})
	if err != nil {
		return err
	}
	wiring := path.Join(p.command, "wire_gen.go")
	if err := p.Write(wiring, made[wiring]); err != nil {
		return err
	}
	return r.seal(p, touched)
}

// register are the edits that register an event with the server.
func (p *Project) register(e scaffold.Event, pkg string) ([]edit, error) {
	file, f, err := p.declaring(serverLayer, "NewMQTTServer")
	if err != nil {
		return nil, err
	}
	api, alias := p.service.API(pkg)
	if known, ok := f.Name(api); ok {
		alias = known
	}
	services := p.service.Module + "/" + serviceLayer
	layer := p.nameOf(file, services, "service")
	name := e.Var + "Service"
	return []edit{
		{Kind: goImport, File: file, Name: alias, Text: api},
		{
			Kind: goStatement, File: file, In: "NewMQTTServer", Name: name, Call: "*" + layer + "." + e.Go + "Service",
			Text: fmt.Sprintf("%s.Register%sEventsMQTTServer(srv, %s)", alias, e.Go, name),
		},
	}, nil
}

// required finds out what the project requires of this module.
func (p *Project) required(r *record) error {
	p.service.Name, p.service.Kratos = r.Name, r.Kratos
	text, err := p.Read("go.mod")
	if err != nil {
		return err
	}
	f, err := modfile.ParseLax("go.mod", text, nil)
	if err != nil {
		return err
	}
	for _, m := range f.Require {
		if m.Mod.Path == scaffold.OwnModule {
			p.service.Version = m.Mod.Version
		}
	}
	if f, err = modfile.Parse("go.mod", text, nil); err != nil {
		return err
	}
	for _, m := range f.Replace {
		if m.Old.Path != scaffold.OwnModule {
			continue
		}
		if p.service.Replace = m.New.Path; local(m.New.Path) {
			p.service.Replace = filepath.Join(p.folder, filepath.FromSlash(m.New.Path))
		}
		if p.service.Replace, err = filepath.Abs(p.service.Replace); err != nil {
			return err
		}
		if _, err := os.Stat(p.service.Replace); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("go.mod replaces %s by a folder that does not exist: %w", scaffold.OwnModule, err)
		}
	}
	if p.service.Version == "" {
		return fmt.Errorf("go.mod does not require %s, which kratos-mqtt add put there", scaffold.OwnModule)
	}
	return nil
}
