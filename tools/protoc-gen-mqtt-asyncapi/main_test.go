package main

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/pluginpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// TestFileWithoutPackages writes the document of a file that has neither a package nor
// a go_package.
func TestFileWithoutPackages(t *testing.T) {
	t.Parallel()
	options := new(descriptorpb.MethodOptions)
	proto.SetExtension(options, v1.E_Event, &v1.EventRule{Topic: "told"})
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{"told.proto"},
		ProtoFile: []*descriptorpb.FileDescriptorProto{
			protodesc.ToFileDescriptorProto(descriptorpb.File_google_protobuf_descriptor_proto),
			protodesc.ToFileDescriptorProto(emptypb.File_google_protobuf_empty_proto),
			protodesc.ToFileDescriptorProto(durationpb.File_google_protobuf_duration_proto),
			protodesc.ToFileDescriptorProto(v1.File_kratosmqtt_v1_config_proto),
			protodesc.ToFileDescriptorProto(v1.File_kratosmqtt_v1_options_proto),
			{
				Name: new("told.proto"), Syntax: new("proto3"),
				Dependency:  []string{"kratosmqtt/v1/options.proto", "google/protobuf/empty.proto"},
				MessageType: []*descriptorpb.DescriptorProto{{Name: new("Told")}},
				Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("ToldEvents"), Method: []*descriptorpb.MethodDescriptorProto{{
					Name: new("Tell"), InputType: new(".Told"), OutputType: new(".google.protobuf.Empty"), Options: options,
				}}}},
			},
		},
	}
	in, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	answer := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(out.Bytes(), answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error != nil || len(answer.GetFile()) != 1 {
		t.Fatalf("error %q, %d files, want one", answer.GetError(), len(answer.GetFile()))
	}
	if text := answer.GetFile()[0].GetContent(); !strings.Contains(text, "title: events") || !strings.Contains(text, "address: told") {
		t.Errorf("the document is\n%s", text)
	}
}
