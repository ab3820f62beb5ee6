// Package generate generates Go code and AsyncAPI documents from the .proto files of a project,
// as protoc does with protoc-gen-go, protoc-gen-go-mqtt and protoc-gen-mqtt-asyncapi. Compiler and
// generators are part of this program, so that a project needs none of them.
//
// A project has its .proto files as kratos-layout has them: those below api and internal are
// generated, with names relative to these folders, and those below third_party are imported.
package generate

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	_ "google.golang.org/genproto/googleapis/api/annotations" // google/api, which files may import
	gengo "google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	_ "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1" // the options of events and the settings
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/gomqtt"
)

// Folders of .proto files: the first ones are generated, the last one is imported only.
const (
	apiFolder        = "api/"
	internalFolder   = "internal/"
	thirdPartyFolder = "third_party/"
)

// Project is what is generated.
type Project struct {
	// Module is the module path. The go_package of each file must be below it.
	Module string
	// Protos are the .proto files by their paths in the project.
	Protos map[string][]byte
	// Only are the paths of those that code is generated for, with the documents of their packages.
	// Default: all below api and internal.
	Only []string
}

// Sources returns the .proto files of a project's folder.
func Sources(project fs.FS) (map[string][]byte, error) {
	protos := make(map[string][]byte)
	for _, folder := range []string{apiFolder, internalFolder, thirdPartyFolder} {
		err := fs.WalkDir(project, strings.TrimSuffix(folder, "/"), func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil && e == nil: // there is no such folder
				return nil
			case err != nil || e.IsDir() || path.Ext(name) != ".proto":
				return err
			}
			protos[name], err = fs.ReadFile(project, name)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return protos, nil
}

// Files generates all files, and returns them by their paths in the project. Errors have file,
// line and column of the .proto file.
func Files(ctx context.Context, p Project) (map[string][]byte, error) {
	sources, targets := make(map[string]string), make(map[string][]string)
	var documented []string
	for name, text := range p.Protos {
		for _, folder := range []string{apiFolder, internalFolder, thirdPartyFolder} {
			if short, ok := strings.CutPrefix(name, folder); ok {
				sources[short] = string(text)
				if len(p.Only) == 0 || slices.Contains(p.Only, name) {
					targets[folder] = append(targets[folder], short)
				}
				if folder == apiFolder && (len(p.Only) == 0 || slices.ContainsFunc(p.Only, func(only string) bool { return path.Dir(only) == path.Dir(name) })) {
					documented = append(documented, short)
				}
			}
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(targets[apiFolder], targets[internalFolder])))
	if len(all) == 0 {
		return nil, fmt.Errorf("there are no .proto files below %s and %s", apiFolder, internalFolder)
	}
	slices.Sort(documented)
	descriptors, err := compile(ctx, sources, append(slices.Clone(all), documented...))
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, g := range []struct {
		parameter, folder string
		targets           []string
		run               func(*protogen.Plugin) error
	}{
		{"module=" + p.Module, "", all, goCode},
		{"module=" + p.Module, "", all, func(plugin *protogen.Plugin) error { return gomqtt.Generate(plugin, eventproto.Settings{}) }},
		{"", apiFolder, documented, func(plugin *protogen.Plugin) error { return asyncapi.Generate(plugin, asyncapi.Settings{}) }},
	} {
		if len(g.targets) == 0 {
			continue
		}
		made, err := generate(&pluginpb.CodeGeneratorRequest{FileToGenerate: g.targets, Parameter: &g.parameter, ProtoFile: descriptors}, g.run)
		if err != nil {
			return nil, err
		}
		for name, text := range made {
			files[g.folder+name] = withoutCompiler(text)
		}
	}
	return files, nil
}

// goCode generates what protoc-gen-go does.
func goCode(plugin *protogen.Plugin) error {
	plugin.SupportedFeatures = gengo.SupportedFeatures
	plugin.SupportedEditionsMinimum, plugin.SupportedEditionsMaximum = gengo.SupportedEditionsMinimum, gengo.SupportedEditionsMaximum
	for _, f := range plugin.Files {
		if f.Generate {
			gengo.GenerateFile(plugin, f)
		}
	}
	return nil
}

func generate(r *pluginpb.CodeGeneratorRequest, run func(*protogen.Plugin) error) (map[string][]byte, error) {
	plugin, err := protogen.Options{}.New(r)
	if err != nil {
		return nil, err
	}
	if err := run(plugin); err != nil {
		return nil, err
	}
	answer := plugin.Response()
	if answer.Error != nil {
		return nil, fmt.Errorf("%s", answer.GetError())
	}
	files := make(map[string][]byte)
	for _, f := range answer.GetFile() {
		files[f.GetName()] = []byte(f.GetContent())
	}
	return files, nil
}

// withoutCompiler removes the line about the version of protoc, which was not used.
func withoutCompiler(text []byte) []byte {
	var kept [][]byte
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) < 3 || string(bytes.Join(fields[len(fields)-2:], []byte(" "))) != "protoc (unknown)" {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}

// compile returns the descriptors of files and of all that they import, each behind its imports.
func compile(ctx context.Context, sources map[string]string, files []string) ([]*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)},
			protocompile.ResolverFunc(known),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return nil, err
	}
	all := new(collection)
	for _, f := range compiled {
		if err := all.add(f); err != nil {
			return nil, err
		}
	}
	return all.files, nil
}

// known finds a file that this program has: protobuf's own, google/api and ours.
func known(name string) (protocompile.SearchResult, error) {
	f, err := protoregistry.GlobalFiles.FindFileByPath(name)
	if err != nil {
		return protocompile.SearchResult{}, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return protocompile.SearchResult{Desc: f}, nil
}

// collection has each file once.
type collection struct {
	files []*descriptorpb.FileDescriptorProto
	seen  map[string]bool
}

// add adds a file behind its imports. Its options become those that this program knows by their
// Go types.
func (c *collection) add(f protoreflect.FileDescriptor) error {
	if c.seen[f.Path()] {
		return nil
	}
	if c.seen == nil {
		c.seen = make(map[string]bool)
	}
	c.seen[f.Path()] = true
	for i := range f.Imports().Len() {
		if err := c.add(f.Imports().Get(i).FileDescriptor); err != nil {
			return err
		}
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(protoutil.ProtoFromFileDescriptor(f))
	if err != nil {
		return err
	}
	own := new(descriptorpb.FileDescriptorProto)
	if err := proto.Unmarshal(text, own); err != nil {
		return err
	}
	c.files = append(c.files, own)
	return nil
}

// Names returns the paths of files, sorted.
func Names(files map[string][]byte) []string { return slices.Sorted(maps.Keys(files)) }
