package identity_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
)

// kubernetes is the environment of a pod.
var kubernetes = map[string]string{"KUBERNETES_SERVICE_HOST": "10.0.0.1"}

func replica(service, host string, environments ...map[string]string) identity.Replica {
	return identity.Replica{Service: service, Hostname: host, Getenv: func(name string) string {
		for _, e := range environments {
			if v, ok := e[name]; ok {
				return v
			}
		}
		return ""
	}}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	ordinal := func(n string) map[string]string { return map[string]string{identity.OrdinalVariable: n} }
	for name, tt := range map[string]struct {
		replica  identity.Replica
		template string
		want     identity.Name
	}{
		"text":                         {replica("shop", "h"), "saver", identity.Name{Text: "saver"}},
		"nothing":                      {replica("shop", "h"), "", identity.Name{}},
		"a closing brace":              {replica("shop", "h"), "a}", identity.Name{Text: "a}"}},
		"service":                      {replica("shop", "h"), "{service}", identity.Name{Text: "shop", Template: true}},
		"service by default":           {replica("", "h"), "{service:kratos}-x", identity.Name{Text: "kratos-x", Template: true}},
		"service, not its default":     {replica("shop", "h"), "{service:kratos}", identity.Name{Text: "shop", Template: true}},
		"an empty default":             {replica("", ""), "a{service:}b{hostname:}", identity.Name{Text: "ab", Template: true, Default: "hostname"}},
		"a default with a colon":       {replica("", ""), "{service:a:b}", identity.Name{Text: "a:b", Template: true}},
		"hostname":                     {replica("shop", "node7"), "{service}-{hostname}", identity.Name{Text: "shop-node7", Template: true, Distinct: true}},
		"hostname by default":          {replica("shop", ""), "{hostname:local}", identity.Name{Text: "local", Template: true, Default: "hostname"}},
		"ordinal of a StatefulSet":     {replica("shop", "saver-2", kubernetes), "{service}-{ordinal}", identity.Name{Text: "shop-2", Template: true, Distinct: true}},
		"ordinal of the variable":      {replica("shop", "saver-2", kubernetes, ordinal("7")), "{ordinal}", identity.Name{Text: "7", Template: true, Distinct: true}},
		"ordinal of Nomad":             {replica("", "h", map[string]string{"NOMAD_ALLOC_INDEX": "0"}), "{ordinal}", identity.Name{Text: "0", Template: true, Distinct: true}},
		"ordinal of Cloud Foundry":     {replica("", "h", map[string]string{"CF_INSTANCE_INDEX": "3"}), "{ordinal}", identity.Name{Text: "3", Template: true, Distinct: true}},
		"ordinal by default":           {replica("", "h"), "{ordinal:0}", identity.Name{Text: "0", Template: true, Default: "ordinal"}},
		"a host is no StatefulSet":     {replica("", "ip-10-0-0-7"), "{ordinal:0}", identity.Name{Text: "0", Template: true, Default: "ordinal"}},
		"a pod of a Deployment":        {replica("", "web-7d4b9c6f5d-x2x9z", kubernetes), "{ordinal:0}", identity.Name{Text: "0", Template: true, Default: "ordinal"}},
		"such a pod with digits only":  {replica("", "web-7d4b9c6f5d-24567", kubernetes), "{ordinal:0}", identity.Name{Text: "0", Template: true, Default: "ordinal"}},
		"a number with a leading zero": {replica("", "web-07", kubernetes), "{ordinal:0}", identity.Name{Text: "0", Template: true, Default: "ordinal"}},
		"hostname and default ordinal": {replica("", "h"), "{hostname}-{ordinal:0}", identity.Name{Text: "h-0", Template: true, Distinct: true, Default: "ordinal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.replica.Expand(tt.template, identity.ForClientID())
			if err != nil || got != tt.want {
				t.Errorf("Expand(%q): got %+v, %v, want %+v", tt.template, got, err, tt.want)
			}
		})
	}
}

func TestExpandRefuses(t *testing.T) {
	t.Parallel()
	for template, tt := range map[string]struct {
		want    string
		missing string
		allowed []string
	}{
		"{service}":          {"has {service}, which is not known here: want OTEL_SERVICE_NAME", identity.Service, identity.ForClientID()},
		"a-{hostname}":       {"has {hostname}, which is not known here: want a hostname", identity.Hostname, identity.ForClientID()},
		"{ordinal}":          {"has {ordinal}, which is not known here: want MQTT_ORDINAL, a pod of a StatefulSet, or a default as in {ordinal:0}", identity.Ordinal, identity.ForClientID()},
		"{pod}":              {"has the placeholder {pod}, want {service}, {hostname}, {ordinal}, {random}", "", identity.ForClientID()},
		"{}":                 {"has the placeholder {}, want", "", identity.ForClientID()},
		"{a\x00b}":           {"has the placeholder {a?b}, want", "", identity.ForClientID()},
		"{service":           {"has { without }", "", identity.ForClientID()},
		"{service:{random}}": {"has a placeholder inside of another one", "", identity.ForClientID()},
		"{random}":           {"has the placeholder {random}, want {service}", "", identity.ForGroup()},
	} {
		t.Run(template, func(t *testing.T) {
			t.Parallel()
			_, err := replica("", "").Expand(template, tt.allowed)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Expand(%q): got %v, want %q", template, err, tt.want)
			}
			if m, ok := errors.AsType[*identity.MissingError](err); ok != (tt.missing != "") || ok && m.Placeholder != tt.missing {
				t.Errorf("Expand(%q): got %#v, want the missing placeholder %q", template, err, tt.missing)
			}
		})
	}
	for _, text := range []string{"x", "-1", "1.5"} {
		_, err := replica("", "saver-2", kubernetes, map[string]string{identity.OrdinalVariable: text}).Expand("{ordinal:0}", identity.ForClientID())
		if err == nil || !strings.Contains(err.Error(), `MQTT_ORDINAL is "`+text+`", want a number from 0`) {
			t.Errorf("MQTT_ORDINAL=%s: got %v, want an error that names it", text, err)
		}
	}
}

// TestRandomIsShort also keeps the default id within the 23 characters that every MQTT 3.1.1
// broker accepts [MQTT-3.1.3-5].
func TestRandomIsShort(t *testing.T) {
	t.Parallel()
	r, form := replica("", ""), regexp.MustCompile(`^kratos-[0-9a-f]{16}$`)
	first, err := r.Expand("{service:kratos}-{random}", identity.ForClientID())
	if err != nil || !form.MatchString(first.Text) || len(first.Text) > 23 || !first.Random {
		t.Fatalf("got %+v, %v, want %v", first, err, form)
	}
	if second, _ := r.Expand("{service:kratos}-{random}", identity.ForClientID()); second.Text == first.Text {
		t.Errorf("got %q twice, want another name", first.Text)
	}
}

func TestHere(t *testing.T) {
	t.Setenv(identity.ServiceVariable, "from-otel")
	if got := identity.Here("").Service; got != "from-otel" {
		t.Errorf("got %q, want the name of OpenTelemetry", got)
	}
	if got := identity.Here("shop").Service; got != "shop" {
		t.Errorf("got %q, want the name in code", got)
	}
	if identity.Here("").Hostname == "" {
		t.Error("got no hostname")
	}
}
