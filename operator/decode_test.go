package operator_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

const operation = "/plant.v1.Plants/Save"

// files declare the operation, whose message has an integer of 64 bits, a name and a message of
// its own kind.
func files(t *testing.T) *protoregistry.Files {
	t.Helper()
	field := func(name string, n int32, kind descriptorpb.FieldDescriptorProto_Type, message *string) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &n, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), TypeName: message,
		}
	}
	plant := new(".plant.v1.Plant")
	fd, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("plant.proto"), Package: new("plant.v1"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Plant"), Field: []*descriptorpb.FieldDescriptorProto{
			field("serial", 1, descriptorpb.FieldDescriptorProto_TYPE_INT64, nil),
			field("name", 2, descriptorpb.FieldDescriptorProto_TYPE_STRING, nil),
			field("inner", 3, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, plant),
		}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Plants"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: new("Save"), InputType: plant, OutputType: plant},
		}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := new(protoregistry.Files)
	if err := all.RegisterFile(fd); err != nil {
		t.Fatal(err)
	}
	return all
}

// plant is the message {serial: 2^53+1, name: "fern"} in protobuf, and deep one nested too deep.
func plant() []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1<<53+1)
	return protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "fern")
}

func deep() (b []byte) {
	for range 500 {
		b = protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), b)
	}
	return b
}

func TestShow(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0)}
	o := operator.New(operator.Options{Source: s, Files: files(t)})
	for name, test := range map[string]struct {
		payload                      []byte
		contentType, operation       string
		wantDecoder, wantText, notes string
	}{
		"protobuf":               {plant(), "application/protobuf", operation, "proto plant.v1.Plant", `{"serial":"9007199254740993","name":"fern"}`, ""},
		"protobuf, no type":      {plant(), "", operation, "proto plant.v1.Plant", `{"serial":"9007199254740993","name":"fern"}`, ""},
		"unknown fields":         {append(plant(), 0x28, 1), "", operation, "proto plant.v1.Plant", `{"serial":"9007199254740993","name":"fern"}`, "2 bytes"},
		"JSON":                   {[]byte(`{"serial":9007199254740993}`), "application/json", operation, "json", `{"serial":9007199254740993}`, ""},
		"JSON, no type":          {[]byte(`{"serial":9007199254740993}`), "", operation, "json", `{"serial":9007199254740993}`, ""},
		"bad JSON":               {[]byte(`{"serial":`), "application/json", operation, "text", `{"serial":`, "not valid JSON"},
		"no protobuf":            {[]byte("\xff\xff"), "application/protobuf", operation, "raw", "", "plant.v1.Plant"},
		"deep protobuf":          {deep(), "application/protobuf", operation, "fields", `{"3":{"3":{"3":`, "deep"},
		"an unknown operation":   {plant(), "application/protobuf", "/plant.v1.Plants/Water", "fields", `{"1":"9007199254740993","2":"fern"}`, "not known"},
		"not an operation":       {plant(), "application/protobuf", "/plant.v1.Plant", "fields", `{"1":"9007199254740993","2":"fern"}`, "not an operation"},
		"no name of one":         {plant(), "application/protobuf", "/../..", "fields", `{"1":"9007199254740993","2":"fern"}`, "no operation"},
		"no operation":           {plant(), "application/protobuf", "", "fields", `{"1":"9007199254740993","2":"fern"}`, "no operation"},
		"text":                   {[]byte("a line\nand another"), "", "", "text", "a line\nand another", "no operation"},
		"nothing":                {nil, "", operation, "text", "", ""},
		"bytes without any type": {[]byte{0, 1, 2}, "", "", "raw", "", "no operation"},
	} {
		l := deadlettertest.Letter(1, deadletter.Dead)
		l.Payload, l.ContentType, l.Operation = test.payload, test.contentType, test.operation
		if err := s.store.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		got, err := o.Show(t.Context(), l.ID)
		text := got.Text
		if compact := new(bytes.Buffer); strings.HasPrefix(got.Decoder, "proto") && json.Compact(compact, []byte(text)) == nil {
			text = compact.String() // protojson adds spaces at random
		}
		if err != nil || got.Decoder != test.wantDecoder || !strings.HasPrefix(text, test.wantText) || !strings.Contains(got.Note, test.notes) {
			t.Errorf("%s: %q %q (%s), want %q %q: %v", name, got.Decoder, got.Text, got.Note, test.wantDecoder, test.wantText, err)
		}
	}
}

// An edited letter is published with the new payload in the encoding of the old one, and has
// the name of its editor and the hash of the old one.
func TestReplayEdited(t *testing.T) {
	t.Parallel()
	var actions []operator.Action
	s := &letters{store: deadletter.NewMemory(0)}
	o := operator.New(operator.Options{Source: s, Files: files(t), Audit: func(a operator.Action) { actions = append(actions, a) }})
	l := deadlettertest.Letter(1, deadletter.Dead)
	l.Payload, l.Operation = []byte("\xff"), operation
	l.ContentType = "application/protobuf"
	put := func() {
		if err := s.store.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	put()
	for name, e := range map[string]operator.Edited{
		"by nobody":    {Text: `{}`},
		"two payloads": {Text: `{}`, Payload: []byte("x"), By: "me"},
		"no such name": {Text: `{"colour":"green"}`, By: "me"},
		"a number":     {Text: `{"serial":"many"}`, By: "me"},
		"deep":         {Text: strings.Repeat(`{"inner":`, 500) + `{}` + strings.Repeat(`}`, 500), By: "me"},
	} {
		if err := o.ReplayEdited(t.Context(), l.ID, e); !errors.Is(err, operator.ErrBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := o.ReplayEdited(t.Context(), l.ID, operator.Edited{Text: `{}`, By: "me", DryRun: true}); err != nil || len(s.topics()) != 0 {
		t.Errorf("dry run: published %v, %v", s.topics(), err)
	}
	e := operator.Edited{Text: `{"serial":"9007199254740993","name":"fern"}`, By: "me\n"}
	if err := o.ReplayEdited(t.Context(), l.ID, e); err != nil {
		t.Fatal(err)
	}
	got := s.published[0]
	const hash = "a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89" // of the byte ff
	if !bytes.Equal(got.Payload, plant()) || got.Replayed.Count != 1 || got.Replayed.Edit.By != "me" || got.Replayed.Edit.SHA256 != hash {
		t.Errorf("published %+v", got)
	}
	if last := actions[len(actions)-1]; last.Name != "replay-edited" || last.Outcome.Done != 1 || last.Edit != got.Replayed.Edit {
		t.Errorf("audit %+v", last)
	}
	// When it fails again and is edited again, the hash is still that of what had come.
	l.Replayed = got.Replayed
	put()
	if err := o.ReplayEdited(t.Context(), l.ID, operator.Edited{Payload: []byte{}, By: "you", ContentType: "text/plain"}); err != nil {
		t.Fatal(err)
	}
	if again := s.published[1].Replayed; again.Count != 2 || again.Edit.By != "you" || again.Edit.SHA256 != hash || s.published[1].ContentType != "text/plain" {
		t.Errorf("published %+v", s.published[1])
	}
	if err := o.ReplayEdited(t.Context(), l.ID, e); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("a letter that is gone: %v", err)
	}
	parked := deadlettertest.Letter(2, deadletter.Parked)
	if err := s.store.Put(t.Context(), parked); err != nil {
		t.Fatal(err)
	}
	if err := o.ReplayEdited(t.Context(), parked.ID, e); !errors.Is(err, deadletter.ErrParked) {
		t.Errorf("a parked letter: %v", err)
	}
}
