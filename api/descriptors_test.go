package api_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/kratos-mqtt/kratos-mqtt/api"
	_ "github.com/kratos-mqtt/kratos-mqtt/api/device/v1" // the files of the set
	_ "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

// The descriptor set has the files of the generated code, with comments.
func TestDescriptorsAreThoseOfTheCode(t *testing.T) {
	t.Parallel()
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(api.Descriptors(), set); err != nil {
		t.Fatal(err)
	}
	if len(set.GetFile()) != 4 {
		t.Errorf("%d files, want 4", len(set.GetFile()))
	}
	for _, f := range set.GetFile() {
		linked, err := protoregistry.GlobalFiles.FindFileByPath(f.GetName())
		if err != nil {
			t.Error(err)
			continue
		}
		want := protodesc.ToFileDescriptorProto(linked)
		want.Options.GoPackage = nil
		if len(f.GetSourceCodeInfo().GetLocation()) == 0 {
			t.Errorf("%s has no comments", f.GetName())
		}
		f.SourceCodeInfo = nil
		if !proto.Equal(f, want) {
			t.Errorf("%s is not that of the code: run make api", f.GetName())
		}
	}
}
