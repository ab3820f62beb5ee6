package eventproto_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/emptypb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// A file whose options are wrong is reported, and does not hide the services of others.
func TestOpen(t *testing.T) {
	t.Parallel()
	files := new(protoregistry.Files)
	for name, rule := range map[string]*v1.EventRule{
		"good":  {Topic: "plants/{id}", Codec: "msgpack", Qos: proto.Uint32(2)},
		"wrong": {Topic: "plants/{ID}"},
	} {
		f, err := protodesc.NewFile(file(name, rule), protoregistry.GlobalFiles)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.RegisterFile(f); err != nil {
			t.Fatal(err)
		}
	}
	services, err := eventproto.Open(files)
	const want = `wrong.proto:1:1: wrong.v1.Plants.Grown: topic "plants/{ID}": message wrong.v1.Plant has no field "ID" (it has id)`
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if len(services) != 1 || len(services[0].Methods) != 1 {
		t.Fatalf("%d services", len(services))
	}
	m := services[0].Methods[0]
	if m.Operation != "/good.v1.Plants/Grown" || m.Filters[0] != "plants/+" || m.MethodDesc.QoS != 2 || m.Codec != "msgpack" {
		t.Errorf("%+v", m.MethodDesc)
	}
}

func file(name string, rule *v1.EventRule) *descriptorpb.FileDescriptorProto {
	options := new(descriptorpb.MethodOptions)
	proto.SetExtension(options, v1.E_Event, rule)
	message, empty := "."+name+".v1.Plant", "."+string(new(emptypb.Empty).ProtoReflect().Descriptor().FullName())
	return &descriptorpb.FileDescriptorProto{
		Name: new(name + ".proto"), Package: new(name + ".v1"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/empty.proto", "kratosmqtt/v1/options.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Plant"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: new("id"), Number: new(int32(1)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Plants"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: new("Grown"), InputType: &message, OutputType: &empty, Options: options},
		}}},
	}
}
