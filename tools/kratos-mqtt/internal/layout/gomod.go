package layout

import (
	"bytes"
	"errors"
	"go/version"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	gomodule "golang.org/x/mod/module"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/scaffold"
)

// module is go.mod of a copy of the project, which stands in another folder.
type module struct {
	folder string
	file   *modfile.File
	sums   []byte // more checksums
	// moved are the folders of replaced modules, as they are in the project, by those in the copy.
	moved map[string]string
}

// openModule reads go.mod of a copy. Folders that replace modules are named from the folder of the
// original.
func openModule(folder, original string) (*module, error) {
	text, err := os.ReadFile(filepath.Join(folder, "go.mod"))
	if err != nil {
		return nil, err
	}
	m := &module{folder: folder, moved: make(map[string]string)}
	if m.file, err = modfile.Parse("go.mod", text, nil); err != nil {
		return nil, err
	}
	for _, r := range m.file.Replace {
		if !local(r.New.Path) {
			continue
		}
		path, err := filepath.Abs(filepath.Join(original, filepath.FromSlash(r.New.Path)))
		if err != nil {
			return nil, err
		}
		m.moved[path] = r.New.Path
		if err := m.file.AddReplace(r.Old.Path, r.Old.Version, path, ""); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// require adds this module and its plugin.
func (m *module) require(s scaffold.Service, library *scaffold.Library) error {
	m.sums = library.Sums
	all := m.file.Require
	for _, r := range all {
		r.Indirect = r.Indirect && r.Mod.Path != "github.com/google/uuid" // new files import it
	}
	for _, path := range s.Requirements() {
		all = append(all, &modfile.Require{Mod: gomodule.Version{Path: path, Version: s.Version}})
		if s.Replace == "" {
			continue
		}
		folder := s.Replace + strings.TrimPrefix(path, scaffold.OwnModule)
		if err := m.file.AddReplace(path, "", folder, ""); err != nil {
			return err
		}
	}
	m.file.SetRequireSeparateIndirect(all) // with the others, in blocks as go mod tidy makes them
	if m.file.Go == nil || version.Compare("go"+m.file.Go.Version, "go"+library.GoVersion) < 0 {
		if err := m.file.AddGoStmt(library.GoVersion); err != nil {
			return err
		}
	}
	if t := m.file.Toolchain; t != nil && version.Compare(t.Name, "go"+library.GoVersion) < 0 {
		m.file.DropToolchainStmt()
	}
	return m.file.AddTool(plugin)
}

// save writes go.mod and go.sum.
func (m *module) save() error {
	text, err := m.file.Format()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.folder, "go.mod"), text, 0o600); err != nil || len(m.sums) == 0 {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(m.folder, "go.sum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(sums) > 0 && !bytes.HasSuffix(sums, []byte("\n")) {
		sums = append(sums, '\n')
	}
	return os.WriteFile(filepath.Join(m.folder, "go.sum"), append(sums, m.sums...), 0o600)
}

// result returns go.mod after the go command changed it, with the folders of the project.
func (m *module) result() ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(m.folder, "go.mod"))
	if err != nil || len(m.moved) == 0 {
		return text, err
	}
	f, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		return nil, err
	}
	for _, r := range f.Replace {
		if path, ok := m.moved[r.New.Path]; ok {
			if err := f.AddReplace(r.Old.Path, r.Old.Version, path, ""); err != nil {
				return nil, err
			}
		}
	}
	return f.Format()
}
