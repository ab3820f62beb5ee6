package eventproto

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Set returns the files that declare events, each behind those that it imports, in the order of
// their paths. Imports that files does not have are left out.
func Set(files *protoregistry.Files) *descriptorpb.FileDescriptorSet {
	var declaring []protoreflect.FileDescriptor
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if _, has := events(f); has {
			declaring = append(declaring, f)
		}
		return true
	})
	slices.SortFunc(declaring, func(a, b protoreflect.FileDescriptor) int { return strings.Compare(a.Path(), b.Path()) })
	set, seen := new(descriptorpb.FileDescriptorSet), make(map[string]bool)
	for _, f := range declaring {
		collect(f, seen, func(d *descriptorpb.FileDescriptorProto) { set.File = append(set.File, d) })
	}
	return set
}

// collect passes a file on behind those that it imports, each once.
func collect(f protoreflect.FileDescriptor, seen map[string]bool, to func(*descriptorpb.FileDescriptorProto)) {
	if seen[f.Path()] || f.IsPlaceholder() {
		return
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		collect(f.Imports().Get(i), seen, to)
	}
	to(protodesc.ToFileDescriptorProto(f))
}
