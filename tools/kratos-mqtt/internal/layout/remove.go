package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/gosource"
)

// Remove takes out what Add and AddEvent added: nothing is written before Apply. What somebody has
// changed in it since is an error that names each place, unless force is set.
func (p *Project) Remove(ctx context.Context, force bool, step Step) error {
	r := p.record
	if r == nil {
		return fmt.Errorf("there is no %s: kratos-mqtt add did not run in this project, or its record was deleted", recordFile)
	}
	p.command = r.Command
	p.lookAround(ctx)
	if err := p.required(r); err != nil {
		return err
	}
	library, err := p.service.Library(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r.Created)) {
		errs = append(errs, p.removeFile(name, r.Created[name], force))
	}
	for _, e := range slices.Backward(r.Edits) {
		errs = append(errs, p.takeBack(e, force))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("nothing was changed: somebody changed what kratos-mqtt added; --force removes it all the same:\n%w", err)
	}
	exact, err := p.restore(ctx, r)
	if err != nil {
		return err
	}
	if err := p.Set.Remove(recordFile); err != nil {
		return err
	}
	if err := p.Writable(); err != nil {
		return err
	}
	made, err := p.try(ctx, trial{library: library, modules: p.folder, tidy: !exact, step: step})
	if err != nil {
		return fmt.Errorf("%w\nwhat uses MQTT beyond what kratos-mqtt added has to go first", err)
	}
	if exact {
		delete(made, "go.mod")
		delete(made, "go.sum")
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		text := made[name]
		if before, ok := r.Before[name]; ok && path.Base(name) == "wire_gen.go" && gosource.Equal(text, []byte(before)) {
			text = []byte(before)
		}
		if err := p.Write(name, text); err != nil {
			return err
		}
	}
	return nil
}

// removeFile removes a file that was added. Of a generated one it does not matter who generated it last.
func (p *Project) removeFile(name, sum string, force bool) error {
	text, err := p.Read(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !force && checksum(text) != sum && !generated(name):
		return fmt.Errorf("%s was changed", name)
	}
	return p.Set.Remove(name)
}

// generated reports whether a file that was added is one of a generator.
func generated(name string) bool {
	return strings.HasSuffix(name, ".pb.go") || strings.HasSuffix(name, ".asyncapi.yaml") || path.Base(name) == "wire_gen.go"
}

// restore restores what machines wrote. It reports whether go.mod and go.sum are as they were.
func (p *Project) restore(ctx context.Context, r *record) (exact bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(r.Before)) {
		switch {
		case path.Base(name) == "wire_gen.go": // wire makes it
		case name == "go.mod" || name == "go.sum":
		default: // generated from the .proto file of the configuration
			proto := strings.TrimSuffix(name, ".pb.go") + ".proto"
			text, err := p.Read(proto)
			if err != nil {
				return false, err
			}
			if checksum(text) == r.Conf {
				err = p.Write(name, []byte(r.Before[name]))
			} else {
				err = p.generate(ctx, r)
			}
			if err != nil {
				return false, err
			}
		}
	}
	mod, err := p.Read("go.mod")
	if err != nil {
		return false, err
	}
	sum, err := p.Read("go.sum")
	if err != nil {
		return false, err
	}
	exact = string(mod) == r.GoMod && checksum(sum) == r.GoSum
	before := []byte(r.Before["go.mod"])
	if !exact {
		if before, err = withoutAdded(mod, before, []byte(r.GoMod)); err != nil {
			return false, err
		}
	}
	sums := r.Before["go.sum"]
	if !exact {
		sums += string(sum) // go mod tidy removes what is not needed
	}
	return exact, errors.Join(p.Write("go.mod", before), p.Write("go.sum", []byte(sums)))
}

// withoutAdded returns go.mod without what add changed: a requirement that is as add left it becomes
// what it was before. Everything else stays.
func withoutAdded(now, before, after []byte) ([]byte, error) {
	var files [3]*modfile.File
	for i, text := range [][]byte{now, before, after} {
		f, err := modfile.Parse("go.mod", text, nil)
		if err != nil {
			return nil, err
		}
		files[i] = f
	}
	f, was, left := files[0], versions(files[1]), versions(files[2])
	for path, version := range versions(f) {
		if version != left[path] {
			continue
		}
		var err error
		if old, ok := was[path]; ok {
			err = f.AddRequire(path, old)
		} else {
			err = f.DropRequire(path)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, r := range files[2].Replace {
		if !slices.ContainsFunc(files[1].Replace, func(b *modfile.Replace) bool { return b.Old == r.Old }) {
			if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return nil, err
			}
		}
	}
	if err := f.DropTool(plugin); err != nil {
		return nil, err
	}
	if f.Go.Version == files[2].Go.Version && files[1].Go != nil {
		if err := f.AddGoStmt(files[1].Go.Version); err != nil {
			return nil, err
		}
	}
	if t := files[1].Toolchain; t != nil && f.Toolchain == nil {
		if err := f.AddToolchainStmt(t.Name); err != nil {
			return nil, err
		}
	}
	f.Cleanup()
	return f.Format()
}

func versions(f *modfile.File) map[string]string {
	all := make(map[string]string)
	for _, r := range f.Require {
		all[r.Mod.Path] = r.Mod.Version
	}
	return all
}
