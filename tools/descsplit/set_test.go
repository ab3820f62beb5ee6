package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A descriptor set keeps its comments, without the module path and without places in the source.
func TestSetKeepsTheComments(t *testing.T) {
	t.Parallel()
	file := func(name string, line int32) *descriptorpb.FileDescriptorProto {
		return &descriptorpb.FileDescriptorProto{
			Name: new(name), Options: &descriptorpb.FileOptions{GoPackage: new(module + "/a")},
			SourceCodeInfo: &descriptorpb.SourceCodeInfo{Location: []*descriptorpb.SourceCodeInfo_Location{
				{Path: []int32{12}, Span: []int32{line, 0, 1}},
				{Path: []int32{4, 0}, Span: []int32{line + 1, 0, 1}, LeadingComments: new(" A is a message.\n")},
			}},
		}
	}
	path := filepath.Join(t.TempDir(), "a"+setSuffix)
	write := func(files ...*descriptorpb.FileDescriptorProto) {
		text, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: files})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewritten := func() []byte {
		if err := rewrite(path, module); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	write(file("a", 1), file("b", 1))
	if err := report(io.Discard, path, module); err == nil {
		t.Error("the module path is not noticed")
	}
	first := rewritten()
	if err := report(io.Discard, path, module); err != nil {
		t.Error(err)
	}
	if !bytes.Contains(first, []byte("A is a message.")) || bytes.Contains(first, []byte(module)) {
		t.Errorf("%q", first)
	}
	write(file("b", 7), file("a", 7))
	if second := rewritten(); !bytes.Equal(first, second) || !bytes.Equal(second, rewritten()) {
		t.Errorf("%q and %q", first, second)
	}
}
