// Package golden tests the output and the errors of the generators.
package golden

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/gofeaturespb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/gomqtt"
)

var update = flag.Bool("update", false, "compile the cases anew and write what is generated")

// TestGolden runs the generators over the committed descriptors of each case. Their
// output is a package that is built, vetted and linted with all others.
func TestGolden(t *testing.T) {
	t.Parallel()
	names := cases(t)
	if len(names) < 15 {
		t.Errorf("%d cases, want 15", len(names))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := descriptors(t, name)
			for file, content := range generate(t, set, own(set, name), false) {
				check(t, file, content)
			}
		})
	}
}

// TestDescriptorsAreFresh compiles the cases with a compiler in Go and compares the
// descriptors.
func TestDescriptorsAreFresh(t *testing.T) {
	t.Parallel()
	for _, name := range cases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if want, got := compile(t, protos(t, name)...), descriptors(t, name); !proto.Equal(want, got) {
				t.Errorf("%s is not what cases/%s compiles to: run make golden", binary(name), name)
			}
		})
	}
}

// TestGeneratedIsStable generates twice and compares.
func TestGeneratedIsStable(t *testing.T) {
	t.Parallel()
	for _, name := range cases(t) {
		set := descriptors(t, name)
		first := generate(t, set, own(set, name), false)
		for file, again := range generate(t, set, own(set, name), false) {
			if !bytes.Equal(first[file], again) {
				t.Errorf("%s differs between two runs", file)
			}
		}
	}
}

func cases(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("cases")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func protos(t *testing.T, name string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("cases", name), func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".proto") {
			files = append(files, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func binary(name string) string { return filepath.Join("testdata", name+".binpb") }

// descriptors returns the committed descriptors of a case. With -update it compiles them.
func descriptors(t *testing.T, name string) *descriptorpb.FileDescriptorSet {
	t.Helper()
	if *update {
		set := compile(t, protos(t, name)...)
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(binary(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		for file, content := range generate(t, set, own(set, name), true) {
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := os.ReadFile(binary(name))
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(b, set); err != nil {
		t.Fatal(err)
	}
	return set
}

// own returns the files of a case, without its imports.
func own(set *descriptorpb.FileDescriptorSet, name string) (files []string) {
	for _, f := range set.GetFile() {
		if strings.HasPrefix(f.GetName(), "cases/"+name+"/") {
			files = append(files, f.GetName())
		}
	}
	return files
}

// compile returns the descriptors of files and of all their imports, imports first.
func compile(t *testing.T, files ...string) *descriptorpb.FileDescriptorSet {
	t.Helper()
	root := filepath.Join("..", "..", "..")
	compiler := protocompile.Compiler{
		SourceInfoMode: protocompile.SourceInfoStandard,
		Resolver: protocompile.WithStandardImports(protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: []string{".", "testdata/errors", filepath.Join(root, "api"), filepath.Join(root, "third_party")}},
			protocompile.ResolverFunc(linked),
		}),
	}
	linked, err := compiler.Compile(context.Background(), files...)
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, f := range linked {
		with(set, f)
	}
	for _, f := range set.GetFile() {
		if strings.HasPrefix(f.GetOptions().GetGoPackage(), module) {
			f.GetOptions().GoPackage, f.SourceCodeInfo = nil, nil // see module
		}
	}
	return reparse(t, set)
}

// reparse decodes our options into their Go types, as a plugin does.
func reparse(t *testing.T, set *descriptorpb.FileDescriptorSet) *descriptorpb.FileDescriptorSet {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	again := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	return again
}

// linked finds files that are part of this binary, such as go_features.proto.
func linked(path string) (protocompile.SearchResult, error) {
	d, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Proto: protodesc.ToFileDescriptorProto(d)}, nil
}

// generate runs the generators as plugins; if all is set, protoc-gen-go too.
func generate(t *testing.T, set *descriptorpb.FileDescriptorSet, files []string, all bool) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, run := range []func(*protogen.Plugin) error{
		func(p *protogen.Plugin) error { return gomqtt.Generate(p, eventproto.Settings{}) },
		func(p *protogen.Plugin) error { return asyncapi.Generate(p, asyncapi.Settings{}) },
		func(p *protogen.Plugin) error {
			for _, f := range p.Files {
				if all && f.Generate {
					internal_gengo.GenerateFile(p, f)
				}
			}
			return nil
		},
	} {
		for _, f := range response(t, set, files, run).GetFile() {
			out[f.GetName()] = []byte(f.GetContent())
		}
	}
	return out
}

func response(t *testing.T, set *descriptorpb.FileDescriptorSet, files []string, run func(*protogen.Plugin) error) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	p := plugin(t, set, files)
	if err := run(p); err != nil {
		t.Fatal(err)
	}
	r := p.Response()
	if r.Error != nil {
		t.Fatal(r.GetError())
	}
	return r
}

// module is the path of this module. `kratos new` replaces it byte for byte, so it must
// not be part of a descriptor, where its length precedes it: the cases have plugin
// parameters instead of a go_package.
const module = "github.com/kratos-mqtt/kratos-mqtt"

// parameters returns the plugin parameters with the Go package of each file.
func parameters(set *descriptorpb.FileDescriptorSet) string {
	all := []string{"paths=source_relative"}
	for _, f := range set.GetFile() {
		switch dir := path.Dir(f.GetName()); {
		case path.Base(dir) == "other": // a package whose name differs from its folder
			all = append(all, "M"+f.GetName()+"="+module+"/tools/internal/golden/"+dir+";otherpb")
		case strings.HasPrefix(dir, "cases/"):
			all = append(all, "M"+f.GetName()+"="+module+"/tools/internal/golden/"+dir)
		case strings.HasPrefix(dir, "kratosmqtt/"):
			all = append(all, "M"+f.GetName()+"="+module+"/api/"+dir)
		}
	}
	return strings.Join(all, ",")
}

func plugin(t *testing.T, set *descriptorpb.FileDescriptorSet, files []string) *protogen.Plugin {
	t.Helper()
	p, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: files, ProtoFile: set.GetFile(), Parameter: new(parameters(set)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// check compares content with the committed file.
func check(t *testing.T, file string, content []byte) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run make golden", err)
	}
	if !bytes.Equal(sortImports(want), sortImports(content)) {
		t.Errorf("%s is not what the generator writes: run make golden and look at the difference", file)
	}
}

var importLine = regexp.MustCompile(`(?m)^\t\w+ "[^"]+"\n`)

// sortImports makes files comparable in a module with another name, which has another
// order of imports.
func sortImports(file []byte) []byte {
	lines := importLine.FindAll(file, -1)
	slices.SortFunc(lines, bytes.Compare)
	return append(importLine.ReplaceAll(file, nil), bytes.Join(lines, nil)...)
}

// TestNothingToRename finds module paths that `kratos new` must not replace.
func TestNothingToRename(t *testing.T) {
	t.Parallel()
	for _, name := range cases(t) {
		if b, err := os.ReadFile(binary(name)); err != nil || bytes.Contains(b, []byte(module)) {
			t.Errorf("%s holds the module path, or %v", binary(name), err)
		}
	}
}

// TestErrors runs the generators over invalid files: all problems are reported at once,
// with their positions, and nothing is written.
func TestErrors(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/errors/*.proto")
	if err != nil || len(files) < 35 {
		t.Fatalf("%d files, want 35: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".proto")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := compile(t, name+".proto")
			for _, run := range []func(*protogen.Plugin) error{
				func(p *protogen.Plugin) error { return gomqtt.Generate(p, eventproto.Settings{}) },
				func(p *protogen.Plugin) error { return asyncapi.Generate(p, asyncapi.Settings{}) },
			} {
				p := plugin(t, set, []string{name + ".proto"})
				err := run(p)
				if problems := eventproto.OptionErrors(nil); !errors.As(err, &problems) {
					t.Fatalf("err = %v", err)
				}
				if n := len(p.Response().GetFile()); n > 0 {
					t.Errorf("%d files written", n)
				}
				want(t, strings.TrimSuffix(file, ".proto")+".txt", clip(err.Error())+"\n")
			}
		})
	}
}

// clip shortens a long topic for a golden file.
func clip(s string) string {
	if i := strings.Index(s, strings.Repeat("x", 100)); i >= 0 {
		return s[:i] + "…" + strings.TrimLeft(s[i:], "x")
	}
	return s
}

func want(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run make golden", err)
	}
	if string(b) != got {
		t.Errorf("got\n%swant\n%s", got, b)
	}
}

// TestSize bounds the size of generated code: at most 1.5 KB for each method.
func TestSize(t *testing.T) {
	t.Parallel()
	total, methods := 0, 0
	for _, name := range cases(t) {
		set := descriptors(t, name)
		for file, content := range generate(t, set, own(set, name), false) {
			if strings.HasSuffix(file, ".go") {
				total += len(content)
				methods += bytes.Count(content, []byte("Operation: "))
			}
		}
	}
	t.Logf("%d bytes for each of %d methods", total/methods, methods)
	many := many(t, 50)
	if per := many / 50; per > 1536 {
		t.Errorf("%d bytes for each of 50 methods, want at most 1536", per)
	} else {
		t.Logf("%d bytes for each of 50 methods in a service", per)
	}
}

// many returns the size of a service with n methods, each with two parameters.
func many(t *testing.T, n int) int {
	t.Helper()
	set := descriptors(t, "additional")
	i := slices.IndexFunc(set.File, func(f *descriptorpb.FileDescriptorProto) bool { return strings.HasPrefix(f.GetName(), "cases/") })
	file := set.File[i]
	method := file.Service[0].Method[0]
	file.Service[0].Method = nil
	for k := range n {
		m, ok := proto.Clone(method).(*descriptorpb.MethodDescriptorProto)
		if !ok {
			t.Fatal("not a method")
		}
		m.Name = new("SaveReading" + string(rune('A'+k%26)) + string(rune('A'+k/26)))
		rule := proto.GetExtension(m.Options, eventRule()).(interface{ ProtoReflect() protoreflect.Message }).ProtoReflect()
		topic := rule.Descriptor().Fields().ByName("topic")
		rule.Set(topic, protoreflect.ValueOfString("readings/"+m.GetName()+"/{device_id}"))
		rule.Clear(rule.Descriptor().Fields().ByName("additional_topics"))
		file.Service[0].Method = append(file.Service[0].Method, m)
	}
	size := 0
	for _, f := range response(t, set, []string{file.GetName()}, func(p *protogen.Plugin) error { return gomqtt.Generate(p, eventproto.Settings{}) }).GetFile() {
		size += len(f.GetContent())
	}
	return size
}
