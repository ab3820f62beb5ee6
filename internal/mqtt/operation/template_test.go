package operation

import (
	"maps"
	"testing"

	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/sourcecontextpb"
	"google.golang.org/protobuf/types/known/typepb"
)

func TestTemplateParams(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		template, prefix, topic string
		want                    map[string]string
	}{
		{"a/b", "", "a/b", nil},
		{"a/{x}/c/{y.z}", "", "a/1/c/2", map[string]string{"x": "1", "y.z": "2"}},
		{"a/{x}/{rest=**}", "s/+", "s/1/a/b/c/d", map[string]string{"x": "b", "rest": "c/d"}},
		{"{rest=**}", "", "", map[string]string{}},
		{"{x}/{y}", "", "short", map[string]string{"x": "short"}},
	} {
		got := parseTemplate(tt.template).below(newPrefix(tt.prefix)).read(tt.topic)
		if (got == nil) != (tt.want == nil) || !maps.Equal(got, tt.want) {
			t.Errorf("%s under %q of %s: %v, want %v", tt.template, tt.prefix, tt.topic, got, tt.want)
		}
	}
}

func TestPrefix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ prefix, topic, levels, rest string }{
		{"", "a/b", "", "a/b"},
		{"s/+/", "s/1/a/b", "s/1/", "a/b"},
		{"/s/+/", "/s/1/a/b", "/s/1/", "a/b"},
		{"/", "/a/b", "/", "a/b"},
		{"s", "s//a", "s/", "/a"},
		{"s", "s/a", "s/", "a"},
		{"s/t", "s", "s", ""},
	} {
		if levels, rest := newPrefix(tt.prefix).cut(tt.topic); levels != tt.levels || rest != tt.rest {
			t.Errorf("%q cut from %q: %q and %q", tt.prefix, tt.topic, levels, rest)
		}
	}
}

func TestLetterTopic(t *testing.T) {
	t.Parallel()
	api := &apipb.Api{Name: "n", Syntax: typepb.Syntax_SYNTAX_PROTO3, SourceContext: &sourcecontextpb.SourceContext{FileName: "f"}}
	own := parseTemplate("in/{name}").below(newPrefix("s"))
	for _, tt := range []struct {
		letters string
		body    any
		want    string // "" is an error
	}{
		{"dead", nil, "s/dead"},
		{"dead/{name}", api, "s/dead/n"},
		{"dead/{name}", nil, "s/dead/topic"},
		{"dead/{source_context.file_name}/{syntax}", api, "s/dead/f/SYNTAX_PROTO3"},
		{"dead/{source_context.file_name}", nil, ""},
		{"dead/{version}", api, ""},
		{"dead/{methods}", api, ""},
		{"dead/{name.x}", api, ""},
		{"dead/{name}", &apipb.Api{Name: "+"}, ""},
		{"dead/{syntax}", &apipb.Api{Syntax: 99}, ""},
	} {
		got, err := letterTopic(parseTemplate(tt.letters), own, newPrefix("s"))("s/in/topic", tt.body)
		if (err != nil) != (tt.want == "") || err == nil && got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.letters, got, err, tt.want)
		}
	}
}
