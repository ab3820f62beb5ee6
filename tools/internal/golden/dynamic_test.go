package golden

import (
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// FuzzDynamic compares what descriptors alone say about a message with what generated code
// does: its topic, its ordering key and its id.
func FuzzDynamic(f *testing.F) {
	methods := open(f)
	for _, text := range []string{"", "kitchen", "a/b", "+", "$SYS", "\xff", "007"} {
		f.Add(uint64(len(text)), text)
	}
	all := handlers()
	f.Fuzz(func(t *testing.T, seed uint64, text string) {
		random := rand.New(rand.NewPCG(seed, 1))
		for _, h := range all {
			method, err := methods.Named(h.Method.Operation)
			if err != nil {
				t.Fatal(err)
			}
			in := h.New()
			for _, level := range method.Topics[0].Levels {
				fill(in.ProtoReflect(), level.Param, random, text)
			}
			want, wantErr := builders()[h.Method.Operation](in)
			bytes, err := proto.Marshal(in)
			if err != nil {
				continue // not UTF-8
			}
			dynamic := dynamicpb.NewMessage(method.Desc.Input())
			if err := proto.Unmarshal(bytes, dynamic); err != nil {
				t.Fatal(err)
			}
			got, err := method.TopicOf(dynamic)
			if got != want || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Fatalf("%s: topic %q, %v; generated code %q, %v", h.Method.Operation, got, err, want, wantErr)
			}
			d := method.Dynamic()
			for name, pair := range map[string][2]func(proto.Message) string{"key": {d.Key, h.Method.Key}, "id": {d.ID, h.Method.ID}} {
				if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && pair[0](dynamic) != pair[1](in) {
					t.Fatalf("%s: %s of %v differs from that of generated code", h.Method.Operation, name, in)
				}
			}
		}
	})
}

// open returns the methods of the cases of this package that have unique names.
func open(tb testing.TB) eventproto.Methods {
	tb.Helper()
	files := new(protoregistry.Files)
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if _, err := files.FindFileByPath(f.Path()); err == nil {
			return
		}
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		if err := files.RegisterFile(f); err != nil {
			tb.Fatal(err)
		}
	}
	for _, h := range handlers() {
		add(h.New().ProtoReflect().Descriptor().ParentFile())
	}
	methods, err := eventproto.OpenMethods(files)
	if err != nil {
		tb.Fatal(err)
	}
	return methods
}
