package golden

import (
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
)

// TestPartOfAPackage runs the generator for one file of two, as the Kratos CLI does, and
// expects an error instead of an incomplete document.
func TestPartOfAPackage(t *testing.T) {
	t.Parallel()
	set := descriptors(t, "twofiles")
	one := own(set, "twofiles")[:1]
	text := func(pkg, option string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("syntax = \"proto3\";\r\npackage " + pkg + ";\r\n" + option)}
	}
	const event = "option (kratosmqtt.v1.event).topic = \"a\";"
	for _, c := range []struct {
		name    string
		sources fstest.MapFS
		missing string
	}{
		{"alone", fstest.MapFS{"cases/twofiles/one.proto": text("golden.twofiles", event)}, ""},
		{"beside events", fstest.MapFS{"cases/twofiles/one.proto": text("golden.twofiles", event), "cases/twofiles/two.proto": text("golden.twofiles", event)}, "cases/twofiles/two.proto"},
		{"one folder below", fstest.MapFS{"api/cases/twofiles/one.proto": text("golden.twofiles", event), "api/cases/twofiles/two.proto": text("golden.twofiles", event)}, "cases/twofiles/two.proto"},
		{"beside another package", fstest.MapFS{"cases/twofiles/one.proto": text("golden.twofiles", event), "cases/twofiles/two.proto": text("golden.other", event)}, ""},
		{"beside messages", fstest.MapFS{"cases/twofiles/one.proto": text("golden.twofiles", event), "cases/twofiles/two.proto": text("golden.twofiles", "")}, ""},
		{"somewhere else", fstest.MapFS{"x/y/two.proto": text("golden.twofiles", event)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := asyncapi.Generate(plugin(t, set, one), asyncapi.Settings{Sources: c.sources})
			if got := err != nil; got != (c.missing != "") || got && !strings.Contains(err.Error(), "events of "+c.missing+",") {
				t.Errorf("err = %v, want missing %q", err, c.missing)
			}
		})
	}
}

// TestPackagesThatShareADocument expects an error that describes the solution.
func TestPackagesThatShareADocument(t *testing.T) {
	t.Parallel()
	set := descriptors(t, "twofiles")
	files := own(set, "twofiles")
	for _, f := range set.GetFile() {
		for i, name := range files {
			if f.GetName() == name {
				version := []string{"v1", "v2"}[i]
				f.Package = new("fleet." + version)
				f.MessageType, f.Dependency = []*descriptorpb.DescriptorProto{{Name: new("In"), Field: []*descriptorpb.FieldDescriptorProto{{
					Name: new("a"), Number: new(int32(1)), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
				}}}}, []string{"google/protobuf/empty.proto", "kratosmqtt/v1/options.proto"}
				for _, s := range f.GetService() {
					for _, m := range s.GetMethod() {
						m.InputType, m.OutputType = new(".fleet."+version+".In"), new(".google.protobuf.Empty")
					}
				}
			}
		}
	}
	for merge, want := range map[bool]string{false: "merge=true", true: ""} {
		p := plugin(t, set, files)
		err := asyncapi.Generate(p, asyncapi.Settings{Merge: merge})
		if got := err != nil; got != (want != "") || got && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "fleet.v1 and fleet.v2")) {
			t.Errorf("merge %v: err = %v", merge, err)
		}
	}
}
