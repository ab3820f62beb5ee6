package layout

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/generate"
)

// generate generates the code of the .proto files that change.
func (p *Project) generate(ctx context.Context, r *record) error {
	protos, err := generate.Sources(os.DirFS(p.folder))
	if err != nil {
		return err
	}
	g := generate.Project{Module: p.service.Module, Protos: protos}
	for _, name := range p.Files() {
		if path.Ext(name) != ".proto" {
			continue
		}
		protos[name], err = p.Read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it is removed
			delete(protos, name)
		case err != nil:
			return err
		case !strings.HasPrefix(name, "third_party/"):
			g.Only = append(g.Only, name)
		}
	}
	if len(g.Only) == 0 {
		return nil
	}
	made, err := generate.Files(ctx, g)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if err := r.keep(p, name); err != nil {
			return err
		}
		if err := p.Write(name, made[name]); err != nil {
			return err
		}
	}
	return nil
}
