package golden

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"gopkg.in/yaml.v3"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/asyncapi"
)

// document is a parsed AsyncAPI document.
type document map[string]any

func parse(t *testing.T, file string, content []byte) document {
	t.Helper()
	d := make(map[string]any)
	if err := yaml.Unmarshal(content, &d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d
}

// at returns the value at a path of keys, or nil if there is none.
func (d document) at(path ...string) any {
	var here any = map[string]any(d)
	for _, key := range path {
		m, ok := here.(map[string]any)
		if !ok {
			return nil
		}
		here = m[key]
	}
	return here
}

func (d document) object(path ...string) map[string]any {
	m, _ := d.at(path...).(map[string]any)
	return m
}

// walk calls f for every mapping.
func walk(value any, f func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(v)
		for _, member := range v {
			walk(member, f)
		}
	case []any:
		for _, item := range v {
			walk(item, f)
		}
	}
}

// committed returns the documents of this module.
func committed(t *testing.T) (files []string) {
	t.Helper()
	for _, root := range []string{"cases", "../../../api"} {
		err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(file, ".asyncapi.yaml") {
				files = append(files, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestDocuments checks what a parser does not: references can be resolved, the parameters
// of an address are those of its channel, and each channel has an operation.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, file := range committed(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d := parse(t, file, content)
			if d.at("asyncapi") != "3.0.0" || d.at("info", "title") == nil || d.at("info", "version") == nil {
				t.Errorf("the head is %v, %v", d.at("asyncapi"), d.at("info"))
			}
			references(t, d)
			channels(t, d)
			operations(t, d)
		})
	}
}

func references(t *testing.T, d document) {
	t.Helper()
	walk(map[string]any(d), func(m map[string]any) {
		if ref, ok := m["$ref"].(string); ok {
			if d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...) == nil {
				t.Errorf("%s leads nowhere", ref)
			}
			if len(m) > 1 {
				t.Errorf("%s has members beside it, which do not count", ref)
			}
		}
	})
}

var parameter = regexp.MustCompile(`\{([^}]*)\}`)

func channels(t *testing.T, d document) {
	t.Helper()
	if len(d.object("channels")) == 0 {
		t.Error("no channels")
	}
	for name := range d.object("channels") {
		address, ok := d.at("channels", name, "address").(string)
		if !ok { // the channel of a reply, whose topic the request names
			if !strings.HasSuffix(name, ".reply") {
				t.Errorf("channel %s has no address", name)
			}
			continue
		}
		var want, got []string
		for _, m := range parameter.FindAllStringSubmatch(address, -1) {
			want = append(want, m[1])
		}
		for p := range d.object("channels", name, "parameters") {
			got = append(got, p)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("channel %s: address %q has the parameters %q, described are %q", name, address, want, got)
		}
		if len(d.object("channels", name, "messages")) != 1 {
			t.Errorf("channel %s has not one message", name)
		}
		filter, _ := d.at("channels", name, "x-mqtt-filter").(string)
		if tail := strings.HasSuffix(filter, "#"); strings.Count(filter, "/") != strings.Count(address, "/") || strings.Count(filter, "+") > len(want) && !tail {
			t.Errorf("channel %s: filter %q for %q", name, filter, address)
		}
	}
}

func operations(t *testing.T, d document) {
	t.Helper()
	used := make(map[string]bool)
	for name := range d.object("operations") {
		channel, _ := d.at("operations", name, "channel", "$ref").(string)
		used[strings.TrimPrefix(channel, "#/channels/")] = true
		reply, _ := d.at("operations", name, "reply", "channel", "$ref").(string)
		used[strings.TrimPrefix(reply, "#/channels/")] = true
		if action := d.at("operations", name, "action"); action != "send" && action != "receive" {
			t.Errorf("operation %s has the action %v", name, action)
		}
	}
	for name := range d.object("channels") {
		if !used[name] {
			t.Errorf("channel %s has no operation", name)
		}
	}
}

// TestEveryMethodHasAnOperation also generates the documents of clients, and one document
// for all packages.
func TestEveryMethodHasAnOperation(t *testing.T) {
	t.Parallel()
	for _, name := range cases(t) {
		set := descriptors(t, name)
		for _, s := range []asyncapi.Settings{{}, {Client: true}, {Merge: true, Server: "mqtt://127.0.0.1:1883"}} {
			var services []*eventproto.Service
			files := response(t, set, own(set, name), func(p *protogen.Plugin) (err error) {
				if services, err = eventproto.Load(p, s.Settings); err != nil {
					return err
				}
				return asyncapi.Generate(p, s)
			})
			all := make(document)
			for _, f := range files.GetFile() {
				d := parse(t, f.GetName(), []byte(f.GetContent()))
				references(t, d)
				channels(t, d)
				operations(t, d)
				maps.Copy(all, d.object("operations"))
			}
			for _, service := range services {
				for _, m := range service.Methods {
					name := fmt.Sprintf("%s.%s", service.Desc.Name(), m.Desc.Name())
					if s.Merge { // with services of several packages
						name = fmt.Sprintf("%s.%s", service.Desc.FullName(), m.Desc.Name())
					}
					describes(t, all, name, m, s.Client)
				}
			}
		}
	}
}

// describes checks that a method has an operation that matches its options.
func describes(t *testing.T, all document, operation string, m *eventproto.Method, client bool) {
	t.Helper()
	if all[operation] == nil {
		t.Errorf("%s has no operation", operation)
		return
	}
	want := "receive"
	if client {
		want = "send"
	}
	switch m.Side { // only one side of the generated code has these methods
	case v1.Side_SIDE_PUBLISH_ONLY:
		want = "send"
	case v1.Side_SIDE_SUBSCRIBE_ONLY:
		want = "receive"
	}
	if got := all.at(operation, "action"); got != want {
		t.Errorf("%s: action %v, want %s", operation, got, want)
	}
	if got := all.at(operation, "bindings", "mqtt", "qos"); fmt.Sprint(got) != fmt.Sprint(m.QoS) {
		t.Errorf("%s: qos %v, want %d", operation, got, m.QoS)
	}
	if got := all.at(operation, "reply") != nil; got == m.Event() {
		t.Errorf("%s: has a reply: %v", operation, got)
	}
}
