package asyncapi

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// complete returns an error if other files of f's package have events and are not part
// of the request: `kratos proto client` calls protoc once for each file, so that each
// document would replace the previous one. The compiler does not tell plugins its
// import paths. Files are therefore searched for below the current folder and one level
// deeper; files that are not found there are ignored.
func complete(plugin *protogen.Plugin, sources fs.FS, f *protogen.File) error {
	if sources == nil {
		return nil
	}
	var missing []string
	for _, root := range roots(sources, f.Desc.Path()) {
		found, err := fs.Glob(sources, path.Join(root, path.Dir(f.Desc.Path()), "*.proto"))
		if err != nil {
			return err
		}
		for _, file := range found {
			name := strings.TrimPrefix(strings.TrimPrefix(file, root), "/")
			requested := slices.ContainsFunc(plugin.Files, func(r *protogen.File) bool { return r.Generate && r.Desc.Path() == name })
			text, err := fs.ReadFile(sources, file)
			if err != nil {
				return err
			}
			if !requested && packageOf(text) == string(f.Desc.Package()) && strings.Contains(string(text), "(kratosmqtt.v1.event)") {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s: the document of package %s would lack the events of %s, which are not part of this protoc call: call protoc once with all .proto files of the package, or omit --mqtt-asyncapi_out",
		f.Desc.Path(), f.Desc.Package(), strings.Join(missing, ", "))
}

// roots returns the folders that a file's path is relative to.
func roots(sources fs.FS, file string) (found []string) {
	candidates := []string{""}
	if entries, err := fs.ReadDir(sources, "."); err == nil {
		for _, e := range entries {
			if e.IsDir() {
				candidates = append(candidates, e.Name())
			}
		}
	}
	for _, root := range candidates {
		if info, err := fs.Stat(sources, path.Join(root, file)); err == nil && !info.IsDir() {
			found = append(found, root)
		}
	}
	return found
}

var packageLine = regexp.MustCompile(`(?m)^\s*package\s+([\w.]+)\s*;`)

func packageOf(proto []byte) string {
	if m := packageLine.FindSubmatch(proto); m != nil {
		return string(m[1])
	}
	return ""
}
