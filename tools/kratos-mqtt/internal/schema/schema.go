// Package schema reads the descriptors of messages from descriptor sets and .proto files.
package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate" // buf/validate, see Load
	"github.com/bufbuild/protocompile"
	_ "google.golang.org/genproto/googleapis/api/annotations" // google/api, see Load
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1" // the options of events, see Load
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// Load returns what the sources declare. A source is a descriptor set, a .proto file, or a
// folder of them; the imports of a .proto file are searched in its source, in a folder
// third_party beside or below it, and among the files that this program has: protobuf's own,
// google/api, buf/validate and ours. The first declaration of a file counts.
func Load(ctx context.Context, sources ...string) (*protoregistry.Files, error) {
	set := new(descriptorpb.FileDescriptorSet)
	for _, source := range sources {
		found, err := load(ctx, source)
		if err != nil {
			return nil, fmt.Errorf("descriptors %s: %w", source, err)
		}
		set.File = append(set.File, found.GetFile()...)
	}
	return eventproto.Files(set)
}

func load(ctx context.Context, source string) (*descriptorpb.FileDescriptorSet, error) {
	info, err := os.Stat(source)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return compile(ctx, source, "")
	case filepath.Ext(source) == ".proto":
		return compile(ctx, filepath.Dir(source), filepath.Base(source))
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(text, set); err != nil || len(set.File) == 0 {
		return nil, errors.New("not a descriptor set: want what protoc --include_imports --descriptor_set_out or buf build --output writes")
	}
	return set, nil
}

// compile compiles a file, or all files of a folder.
func compile(ctx context.Context, folder, file string) (*descriptorpb.FileDescriptorSet, error) {
	names := []string{file}
	if file == "" {
		var err error
		if names, err = protos(folder); err != nil {
			return nil, err
		}
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: []string{folder, filepath.Join(folder, "third_party"), filepath.Join(folder, "..", "third_party")}},
			protocompile.ResolverFunc(known),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	set := new(descriptorpb.FileDescriptorSet)
	seen := make(map[string]bool)
	for _, f := range compiled {
		if err := add(f, set, seen); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// known finds a file that this program has.
func known(path string) (protocompile.SearchResult, error) {
	f, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return protocompile.SearchResult{Desc: f}, nil
}

// add adds a file behind its imports. Their options become those that this program knows by
// their Go types.
func add(f protoreflect.FileDescriptor, to *descriptorpb.FileDescriptorSet, seen map[string]bool) error {
	if seen[f.Path()] {
		return nil
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		if err := add(f.Imports().Get(i).FileDescriptor, to, seen); err != nil {
			return err
		}
	}
	text, err := proto.Marshal(protodesc.ToFileDescriptorProto(f))
	if err != nil {
		return err
	}
	d := new(descriptorpb.FileDescriptorProto)
	if err := proto.Unmarshal(text, d); err != nil {
		return err
	}
	to.File = append(to.File, d)
	return nil
}

// protos returns the .proto files below a folder, relative to it, without third_party.
func protos(folder string) (names []string, err error) {
	err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != folder && (e.Name() == "third_party" || strings.HasPrefix(e.Name(), ".")):
			return fs.SkipDir
		case !e.IsDir() && filepath.Ext(path) == ".proto":
			name, err := filepath.Rel(folder, path)
			names = append(names, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = errors.New("the folder has no .proto files")
	}
	return names, err
}
