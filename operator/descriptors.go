package operator

import (
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// catalog has the events that a program declares.
type catalog struct {
	files   *protoregistry.Files
	methods func() eventproto.Methods
}

func newCatalog(files *protoregistry.Files) catalog {
	return catalog{files: files, methods: sync.OnceValue(func() eventproto.Methods {
		methods, _ := eventproto.OpenMethods(files) // a file with a problem does not hide the others
		return methods
	})}
}

// OpenDescriptors returns the files of a google.protobuf.FileDescriptorSet, as protoc and buf write
// it. Imports that this program has linked may be missing. As Files of [Options] it gives events the
// comments of their .proto files, which are not linked into programs: write it with
// --include_source_info, and embed it. The error describes a set that is not valid.
func OpenDescriptors(set []byte) (*protoregistry.Files, error) {
	read := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(set, read); err != nil {
		return nil, fmt.Errorf("operator: not a descriptor set: %w", err)
	}
	files, err := eventproto.Files(read)
	if err != nil {
		return nil, fmt.Errorf("operator: descriptor set: %w", err)
	}
	return files, nil
}

// Descriptors returns the files that declare events in this process, each behind those that it
// imports: what a program needs that decodes messages or publishes events. They have comments if
// Files of [Options] are those of a descriptor set with them, see [OpenDescriptors].
func (c catalog) Descriptors() *descriptorpb.FileDescriptorSet { return eventproto.Set(c.files) }

// operationOf returns the operation whose declared topic matches, or "".
func (c catalog) operationOf(name string) string {
	if found := c.methods().Of(name); len(found) == 1 {
		return found[0].Operation
	}
	return ""
}
