package eventproto

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// Open returns the services with events that files declare, in the order of their names. A
// file with a problem does not hide the others: the error joins the problems of all files.
func Open(files *protoregistry.Files) ([]*Service, error) {
	var services []*Service
	var problems []error
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		codecs, has := events(f)
		if !has {
			return true
		}
		found, err := open(f, Settings{Codecs: codecs})
		services = append(services, found...)
		if err != nil {
			problems = append(problems, err)
		}
		return true
	})
	slices.SortFunc(services, func(a, b *Service) int { return cmp.Compare(a.Desc.FullName(), b.Desc.FullName()) })
	slices.SortFunc(problems, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return services, errors.Join(problems...)
}

// events reports whether a file has events, and returns the codecs that they name: which
// codecs are registered is known to the program that handles them.
func events(f protoreflect.FileDescriptor) (codecs []string, has bool) {
	for i := range f.Services().Len() {
		s := f.Services().Get(i)
		if d, ok := proto.GetExtension(s.Options(), v1.E_Events).(*v1.EventDefaults); ok && d != nil {
			codecs, has = append(codecs, d.GetCodec()), true
		}
		for j := range s.Methods().Len() {
			if r, ok := proto.GetExtension(s.Methods().Get(j).Options(), v1.E_Event).(*v1.EventRule); ok && r != nil {
				codecs, has = append(codecs, r.GetCodec()), true
			}
		}
	}
	return codecs, has
}

func open(f protoreflect.FileDescriptor, settings Settings) ([]*Service, error) {
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: []string{f.Path()}}
	collect(f, make(map[string]bool), func(d *descriptorpb.FileDescriptorProto) {
		if d.Options == nil {
			d.Options = new(descriptorpb.FileOptions)
		}
		d.Options.GoPackage = new("none/none;none") // not used here, but protogen demands it
		request.ProtoFile = append(request.ProtoFile, d)
	})
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	return Load(plugin, settings)
}
