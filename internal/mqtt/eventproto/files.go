package eventproto

import (
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Files returns the files of a set, whose imports may be missing if this program has them. The
// first declaration of a file counts.
func Files(set *descriptorpb.FileDescriptorSet) (*protoregistry.Files, error) {
	var once []*descriptorpb.FileDescriptorProto
	seen := make(map[string]bool)
	for _, f := range set.GetFile() {
		if !seen[f.GetName()] {
			seen[f.GetName()] = true
			once = append(once, f)
		}
	}
	for i := 0; i < len(once); i++ {
		for _, path := range once[i].GetDependency() {
			if ours, err := protoregistry.GlobalFiles.FindFileByPath(path); err == nil && !seen[path] {
				seen[path] = true
				once = append(once, protodesc.ToFileDescriptorProto(ours))
			}
		}
	}
	return protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: once})
}
