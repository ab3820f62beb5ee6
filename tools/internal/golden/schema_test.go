package golden

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2/encoding"
	_ "github.com/go-kratos/kratos/v2/encoding/json"
	"github.com/santhosh-tekuri/jsonschema/v6"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
)

// messagesPerSchema makes the total over all documents exceed 10,000.
const messagesPerSchema = 100

// TestPayloadsMatchTheirDocument creates random messages of every message type in the
// committed documents and validates their JSON, as written by the two encoders that
// services use: protojson, and Kratos' codec, which also writes unset fields.
func TestPayloadsMatchTheirDocument(t *testing.T) {
	t.Parallel()
	total := 0
	for _, name := range cases(t) {
		files, err := protodesc.NewFiles(descriptors(t, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range committed(t) {
			if strings.HasPrefix(file, "cases/"+name+"/") {
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				total += payloads(t, file, content, files)
			}
		}
	}
	total += payloads(t, "device.asyncapi.yaml", []byte(devicev1.AsyncAPI()), protoregistry.GlobalFiles)
	total += payloads(t, "report.asyncapi.yaml", []byte(reportv1.AsyncAPI()), protoregistry.GlobalFiles)
	t.Logf("%d payloads", total)
}

// TestPublicMessagesMatchTheirDocument does the same with public messages of other
// authors, whose documents are generated here.
func TestPublicMessagesMatchTheirDocument(t *testing.T) {
	t.Parallel()
	total := 0
	for _, m := range []proto.Message{
		(*collectorpb.ExportMetricsServiceRequest)(nil), (*logspb.LogsData)(nil), (*tracepb.TracesData)(nil),
		(*errdetails.BadRequest)(nil), (*errdetails.RetryInfo)(nil), (*errdetails.ErrorInfo)(nil), (*v1.Subscription)(nil), (*v1.EventRule)(nil),
		(*descriptorpb.FileDescriptorSet)(nil),
	} {
		total += payloads(t, string(m.ProtoReflect().Descriptor().FullName()), documentOf(t, m.ProtoReflect().Descriptor()), protoregistry.GlobalFiles)
	}
	t.Logf("%d payloads", total)
}

// documentOf generates the document of a service with one event of type m.
func documentOf(t *testing.T, m protoreflect.MessageDescriptor) []byte {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	with(set, m.ParentFile())
	with(set, v1.File_kratosmqtt_v1_options_proto)
	with(set, emptypb.File_google_protobuf_empty_proto)
	options := new(descriptorpb.MethodOptions)
	proto.SetExtension(options, v1.E_Event, &v1.EventRule{Topic: "told"})
	set.File = append(set.File, &descriptorpb.FileDescriptorProto{
		Name: new("told.proto"), Package: new("told.v1"), Syntax: new("proto3"),
		Dependency: slices.Compact([]string{m.ParentFile().Path(), "kratosmqtt/v1/options.proto", "google/protobuf/empty.proto"}),
		Options:    &descriptorpb.FileOptions{GoPackage: new("example.com/told;told")},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("ToldEvents"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: new("Tell"), InputType: new("." + string(m.FullName())), OutputType: new(".google.protobuf.Empty"), Options: options,
		}}}},
	})
	for _, f := range set.GetFile() { // some have no Go package
		if f.GetOptions().GetGoPackage() == "" {
			f.Options = &descriptorpb.FileOptions{GoPackage: new("example.com/" + f.GetName())}
		}
	}
	r := response(t, reparse(t, set), []string{"told.proto"}, func(p *protogen.Plugin) error { return asyncapi.Generate(p, asyncapi.Settings{}) })
	return []byte(r.GetFile()[0].GetContent())
}

// with adds a file to a set, after everything that it imports.
func with(set *descriptorpb.FileDescriptorSet, f protoreflect.FileDescriptor) {
	if slices.ContainsFunc(set.GetFile(), func(known *descriptorpb.FileDescriptorProto) bool { return known.GetName() == f.Path() }) {
		return
	}
	for i := range f.Imports().Len() {
		with(set, f.Imports().Get(i).FileDescriptor)
	}
	set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
}

// payloads validates random messages against the schemas of a document.
func payloads(t *testing.T, file string, content []byte, files *protoregistry.Files) (n int) {
	t.Helper()
	d := parse(t, file, content)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7) // AsyncAPI's Schema Object extends it
	if err := c.AddResource("document.json", plain(t, map[string]any(d))); err != nil {
		t.Fatal(err)
	}
	for key := range d.object("components", "messages") {
		name, _ := d.at("components", "messages", key, "name").(string)
		found, err := files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil { // Presence is not imported by any case
			found, err = protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
		}
		if err != nil {
			t.Errorf("%s: message %s: %v", file, key, err)
			continue
		}
		schema, err := c.Compile("document.json#/components/messages/" + key + "/payload")
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		source := randomMessage{rand.New(rand.NewPCG(1, 2))}
		for range messagesPerSchema {
			m := dynamicpb.NewMessage(found.(protoreflect.MessageDescriptor))
			source.fill(m, 0)
			n += validate(t, file, schema, m)
		}
	}
	return n
}

// validate returns the number of payloads that it has checked.
func validate(t *testing.T, file string, schema *jsonschema.Schema, m proto.Message) int {
	t.Helper()
	name := m.ProtoReflect().Descriptor().FullName()
	for encoder, marshal := range map[string]func(proto.Message) ([]byte, error){
		"protojson": protojson.Marshal,
		"Kratos":    func(m proto.Message) ([]byte, error) { return encoding.GetCodec("json").Marshal(m) },
	} {
		b, err := marshal(m)
		if err != nil {
			t.Fatalf("%s: %s: %v", name, encoder, err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %s by %s: %v\n%.2000s", file, name, encoder, err, b)
		}
	}
	return 2
}

// plain converts a value to the types of a JSON decoder.
func plain(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return value
}
