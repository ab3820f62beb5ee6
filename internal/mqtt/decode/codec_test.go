package decode_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// A payload without content type is replaced by one in the codec of its operation, also if it
// cannot be decoded itself: the device that sent it has no content types.
func TestCodecOfOperation(t *testing.T) {
	t.Parallel()
	options, defaults := new(descriptorpb.MethodOptions), new(descriptorpb.ServiceOptions)
	proto.SetExtension(options, v1.E_Event, &v1.EventRule{Codec: "json"})
	proto.SetExtension(defaults, v1.E_Events, &v1.EventDefaults{Codec: "json"})
	own := new(descriptorpb.MethodOptions)
	proto.SetExtension(own, v1.E_Event, &v1.EventRule{Codec: "msgpack"})
	plant := ".plants.v1.Plant"
	method := func(name string, o *descriptorpb.MethodOptions) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: &plant, OutputType: &plant, Options: o}
	}
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("plants.proto"), Package: new("plants.v1"), Syntax: new("proto3"), Dependency: []string{"kratosmqtt/v1/options.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Plant"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: new("name"), Number: new(int32(1)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}}}},
		Service: []*descriptorpb.ServiceDescriptorProto{
			{Name: new("Mixed"), Method: []*descriptorpb.MethodDescriptorProto{method("JSON", options), method("Proto", nil), method("Own", own)}},
			{Name: new("Default"), Options: defaults, Method: []*descriptorpb.MethodDescriptorProto{method("JSON", nil)}},
		},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	files := new(protoregistry.Files)
	if err := files.RegisterFile(f); err != nil {
		t.Fatal(err)
	}
	d := decode.New(files)
	const text = `{"name":"fern"}`
	for operation, want := range map[string]string{
		"/plants.v1.Mixed/JSON": text, "/plants.v1.Default/JSON": text, "/plants.v1.Mixed/Proto": "\n\x04fern",
	} {
		got, err := d.Encode(decode.Payload{Bytes: []byte(`{"name":`), Operation: operation}, text)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q %v, want %q", operation, got, err, want)
		}
	}
	// A codec of the service is not replaced by protobuf.
	for _, p := range []decode.Payload{
		{Operation: "/plants.v1.Mixed/Own"},
		{Operation: "/plants.v1.Mixed/Proto", ContentType: "application/msgpack"},
	} {
		p.Bytes = []byte("\x0a\x04fern\x00"[:6])
		if r := d.Decode(p); r.Decoder != decode.Raw || r.Note != `the codec "msgpack" of the service is not known here` {
			t.Errorf("%+v: %+v", p, r)
		}
		if got, err := d.Encode(p, text); err == nil || !strings.Contains(err.Error(), `bytes only: the codec "msgpack"`) {
			t.Errorf("%+v: %q %v", p, got, err)
		}
		p.ContentType = "application/json"
		if got, err := d.Encode(p, text); err != nil || string(got) != text {
			t.Errorf("%+v: %q %v", p, got, err)
		}
	}
	if r := d.Decode(decode.Payload{Bytes: []byte(`{"name":`), Operation: "/plants.v1.Mixed/JSON"}); r.Decoder != decode.Text || r.Note != "the payload is not valid JSON" {
		t.Errorf("%+v", r)
	}
}
