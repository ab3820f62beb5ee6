package topic

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseTemplate(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]struct {
		filter string
		params []string
	}{
		"a/b":                      {"a/b", nil},
		"devices/{device_id}/data": {"devices/+/data", []string{"device_id"}},
		"{a}/{b}":                  {"+/+", []string{"a", "b"}},
		"{A1}":                     {"+", []string{"A1"}},
		"logs/{rest=**}":           {"logs/#", []string{"rest"}},
		"{all=**}":                 {"#", []string{"all"}},
		"/a//{x}/":                 {"/a//+/", []string{"x"}},
		"$aws/things/{id}/shadow":  {"$aws/things/+/shadow", []string{"id"}},
		"grün/{x}":                 {"grün/+", []string{"x"}},
	} {
		tpl, err := ParseTemplate(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if tpl.Filter() != want.filter || !reflect.DeepEqual(tpl.Params(), want.params) || tpl.String() != s {
			t.Errorf("%q: %q, %v, %q", s, tpl.Filter(), tpl.Params(), tpl)
		}
	}
	for _, s := range badTemplates() {
		_, err := ParseTemplate(s)
		var e *Error
		if !errors.As(err, &e) || e.Kind != KindTemplate {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

func badTemplates() []string {
	return []string{
		"", "a/+", "a/#", "a+", "{$id}", "a/{$id}/b", "{", "}", "{}", "a{b}", "{a}b", "{a}{b}", "{{a}}", "{a", "a}", "{a}/{a}",
		"{a-b}", "{1a}", "{a b}", "{ä}", "{a=*}", "{a=}", "{=**}", "{a=**}/b", "{a=**=}", "a\x00", "a\n", "a\u0080", "a\uffff", "\xff",
		"$share/g/{a}", strings.Repeat("x", MaxLength+1),
	}
}

func TestTemplateMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		template, name string
		want           []string // nil: no match
	}{
		{"a/b", "a/b", []string{}},
		{"a/b", "a/c", nil},
		{"devices/{id}/data", "devices/4711/data", []string{"4711"}},
		{"devices/{id}/data", "devices/4711/data/x", nil},
		{"devices/{id}/data", "devices/4711", nil},
		{"devices/{id}/data", "devices//data", nil},
		{"devices/{id}/data", "devices/a\nb/data", nil},
		{"devices/{id}/data", "devices/$x/data", nil},
		{"{a}/{b}", "x/y", []string{"x", "y"}},
		{"{a}/{b}", "$x/y", nil},
		{"{a}", "", nil},
		{"logs/{rest=**}", "logs/a", []string{"a"}},
		{"logs/{rest=**}", "logs/a/b/c", []string{"a/b/c"}},
		{"logs/{rest=**}", "logs", nil},
		{"logs/{rest=**}", "logs/", nil},
		{"logs/{rest=**}", "logs/a//b", nil},
		{"{a}/{rest=**}", "x/y/z", []string{"x", "y/z"}},
		{"/{a}/", "/x/", []string{"x"}},
	} {
		tpl, err := ParseTemplate(c.template)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]string, 1, 4)
		got, ok := tpl.Match(c.name, dst)
		if ok != (c.want != nil) || len(got) != 1+len(c.want) || !reflect.DeepEqual(got[1:], append([]string{}, c.want...)) {
			t.Errorf("%q, %q: %q, %v", c.template, c.name, got, ok)
		}
		if !ok {
			continue
		}
		if back, err := tpl.Build(got[1:]...); err != nil || back != c.name {
			t.Errorf("%q: built %q, %v, want %q", c.template, back, err, c.name)
		}
	}
}

func TestTemplateBuildRefuses(t *testing.T) {
	t.Parallel()
	tpl, err := ParseTemplate("{a}/x/{b=**}")
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range [][]string{
		nil,
		{"a"},
		{"a", "b", "c"},
		{"", "b"},
		{"a/b", "c"},
		{"+", "c"},
		{"$a", "c"},
		{"a", ""},
		{"a", "b//c"},
		{"a", "b/#"},
		{"a", "/b"},
		{"a", "b/"},
		{strings.Repeat("x", 40_000), strings.Repeat("y", 40_000)},
	} {
		s, err := tpl.Build(values...)
		var e *Error
		if s != "" || !errors.As(err, &e) {
			t.Errorf("%.40q: %.40q, %v", values, s, err)
		}
	}
	_, err = tpl.Build("+", "b//c")
	if s := err.Error(); !strings.Contains(s, "parameter a") || !strings.Contains(s, "parameter b") {
		t.Errorf("not all problems: %v", err)
	}
}

func TestTemplateNoAllocations(t *testing.T) {
	tpl, err := ParseTemplate("devices/{id}/{rest=**}")
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]string, 0, 2)
	if n := testing.AllocsPerRun(100, func() { dst, _ = tpl.Match("devices/4711/a/b", dst[:0]) }); n != 0 {
		t.Errorf("Match: %v allocations", n)
	}
}

func BenchmarkTemplate(b *testing.B) {
	tpl, err := ParseTemplate("devices/{id}/data")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("match", func(b *testing.B) {
		dst := make([]string, 0, 1)
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = tpl.Match("devices/4711/data", dst[:0])
		}
	})
	b.Run("build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = tpl.Build("4711")
		}
	})
}
