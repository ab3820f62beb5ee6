package golden

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/gomqtt"
)

// TestOutputStaysInFolder generates from a go_package that leads out of the output folder
// or adds lines to the code.
func TestOutputStaysInFolder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		parameter, goPackage string
		bad                  bool
	}{
		{"", "example.com/a;x", false},
		{"", "example.com/a", false},
		{"", "example.com/a;_1", false},
		{"", "example.com/a;x\n\n//go:generate touch pwned\n", true},
		{"", "example.com/a;x; import _ \"os/exec\"; func init() {} //", true},
		{"", "example.com/a;foo-bar", true},
		{"", "example.com/a;func", true},
		{"", "example.com/a\n//go:generate touch pwned;x", true},
		{"paths=source_relative", "example.com/a;x\n//go:generate touch pwned", true},
		{"", "example.com/a/../b", false},
		{"", "example.com/a/../../../../x", true},
		{"", "/etc/x", true},
		{"paths=source_relative", "example.com/a/../../../../x", false},
	} {
		set := descriptors(t, "basic")
		for _, f := range set.GetFile() {
			switch {
			case strings.HasPrefix(f.GetName(), "cases/"):
				f.Options = &descriptorpb.FileOptions{GoPackage: &c.goPackage}
			case f.GetOptions().GetGoPackage() == "":
				f.Options = &descriptorpb.FileOptions{GoPackage: new("example.com/options")}
			}
		}
		for name, run := range map[string]func(*protogen.Plugin) error{
			"go":       func(p *protogen.Plugin) error { return gomqtt.Generate(p, eventproto.Settings{}) },
			"asyncapi": func(p *protogen.Plugin) error { return asyncapi.Generate(p, asyncapi.Settings{}) },
		} {
			p, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
				FileToGenerate: own(set, "basic"), ProtoFile: set.GetFile(), Parameter: &c.parameter,
			})
			if err != nil {
				t.Fatal(err)
			}
			err = run(p)
			if problems := eventproto.OptionErrors(nil); errors.As(err, &problems) != c.bad || err != nil && !c.bad {
				t.Errorf("%s, %q, go_package %q: got %v, want an error %t", name, c.parameter, c.goPackage, err, c.bad)
			}
			if files := p.Response().GetFile(); c.bad && len(files) > 0 {
				t.Errorf("%s: %q was written", name, files[0].GetName())
			}
		}
	}
}

// TestCommentsAreNoDirectives searches for comments that the Go tools act on.
func TestCommentsAreNoDirectives(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("cases/comments/comments_mqtt.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	directive := regexp.MustCompile(`(?m)^\s*//([a-z]+:|line |export |extern |\s*\+build)`)
	if found := directive.FindAllString(string(file), -1); len(found) > 0 {
		t.Errorf("comments of the .proto file became %q", found)
	}
	if text := "generate touch method"; strings.Count(string(file), text) != 2 {
		t.Errorf("%q is not there twice", text)
	}
}
