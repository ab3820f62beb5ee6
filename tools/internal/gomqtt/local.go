package gomqtt

import (
	"path"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
)

// packages holds the names that imports of a generated file may have: the last
// part of each path, as protogen chooses them.
type packages map[string]bool

func packagesOf(plugin *protogen.Plugin) packages {
	names := make(packages)
	for _, f := range plugin.Files {
		names[path.Base(string(f.GoImportPath))] = true
	}
	return names
}

// local returns the name of a local variable, with underscores behind it when
// an import may have that name: inside of the function the variable would hide
// the package.
func (g generator) local(name string) string {
	for g.packages.has(name) {
		name += "_"
	}
	return name
}

// has also knows the digits that protogen adds when two packages share a name.
func (p packages) has(name string) bool {
	return p[name] || p[strings.TrimRight(name, "0123456789")]
}
