package bridge

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/typepb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

type embedded struct{ Deep int }

type report struct {
	EventID string `json:"event_id,omitempty"`
	Number  *int64
	Any     any
	*embedded
	hidden string
}

func TestIDField(t *testing.T) {
	t.Parallel()
	n := int64(-7)
	for name, tt := range map[string]struct {
		field string
		body  any
		want  string
		bad   bool
	}{
		"protobuf":            {"name", &apipb.Api{Name: "x"}, "x", false},
		"protobuf, JSON name": {"typeUrl", &apipb.Api{}, "", true},
		"protobuf, own name":  {"oneof_index", &typepb.Field{OneofIndex: 3}, "3", false},
		"protobuf, in JSON":   {"oneofIndex", &typepb.Field{OneofIndex: 3}, "3", false},
		"protobuf, bytes":     {"value", wrapperspb.Bytes([]byte{1, 0xAB}), "01ab", false},
		"protobuf, not set":   {"name", &apipb.Api{}, "", false},
		"protobuf, none":      {"nothing", &apipb.Api{}, "", true},
		"protobuf, list":      {"methods", &apipb.Api{}, "", true},
		"protobuf, float":     {"value", wrapperspb.Double(1), "", true},
		"struct, JSON":        {"event_id", &report{EventID: "x"}, "x", false},
		"struct, Go":          {"EventID", report{EventID: "x"}, "x", false},
		"struct, embedded":    {"Deep", &report{embedded: &embedded{Deep: 5}}, "5", false},
		"struct, nil inside":  {"Deep", &report{}, "", false},
		"struct, pointer":     {"Number", &report{Number: &n}, "", true},
		"struct, hidden":      {"hidden", &report{hidden: "x"}, "", true},
		"struct, none":        {"nothing", &report{}, "", true},
		"struct, any":         {"Any", &report{}, "", true},
		"map":                 {"id", &map[string]any{"id": "x"}, "x", false},
		"map, number":         {"id", map[string]any{"id": 12.0}, "12", false},
		"map, none":           {"id", map[string]any{}, "", false},
		"map, other key":      {"id", map[int]any{}, "", true},
		"bytes":               {"id", nil, "", true},
		"text":                {"id", new(string), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := newIDField(tt.field, tt.body)
			if tt.bad {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := f.of(tt.body); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, body := range []any{nil, 5, (*report)(nil), []byte("x"), &apipb.Method{}} {
				_ = f.of(body) // a middleware may have replaced it
			}
		})
	}
}

// Ids of others neither meet nor hurt a store.
func TestDedupKeys(t *testing.T) {
	t.Parallel()
	var s scopes
	first, release := s.claim("svc", "a/+")
	second, _ := s.claim("svc", "a/+")
	other, _ := s.claim("svc", "b")
	service, _ := s.claim("other", "c")
	again, _ := new(scopes).claim("svc", "a/+")
	if first == second || first == other || first == service || first != again {
		t.Errorf("scopes %s %s %s %s, at the next start %s", first, second, other, service, again)
	}
	release()
	if back, _ := s.claim("svc", "a/+"); back != first {
		t.Errorf("the free place is not taken: %s, want %s", back, first)
	}
	d := deduper{scope: first}
	seen := make(map[string]string)
	for _, id := range []string{"1", "a:b", "A", "a b", "\x00", "\x00\x00", "ü", strings.Repeat("x", 1000), strings.Repeat("x", 1001)} {
		key := d.key(arrivedOn("a/1"), id)
		if twin, ok := seen[key]; ok {
			t.Errorf("%q and %q are one", id, twin)
		}
		if seen[key] = id; len(key) > 200 || strings.ContainsAny(key, "\x00 ü") {
			t.Errorf("key %q", key)
		}
	}
	if key := d.key(arrivedOn("a/1"), "1"); !strings.Contains(key, "/"+first+"/") || !strings.HasSuffix(key, ":1") {
		t.Errorf("a plain id is not readable: %s", key)
	}
}

func arrivedOn(topic string, header ...string) *Event {
	e := &Event{delivery: &client.Delivery{Inbound: &client.Inbound{Topic: topic}}}
	for i := 0; i < len(header); i += 2 {
		e.header = append(e.header, client.UserProperty{Key: header[i], Value: header[i+1]})
	}
	return e
}

// An id counts within its topic, that of a CloudEvent within its source, too, and a
// declared one for itself.
func TestDedupKeysAreScoped(t *testing.T) {
	t.Parallel()
	event := func(topic, source string) *Event {
		return arrivedOn(topic, "specversion", "1.0", "id", "1", "source", source)
	}
	declared := event("a/1", "/A")
	declared.id = "1"
	tenants := func(topic string) string { return topic[:2] }
	for name, tt := range map[string]struct {
		d    *deduper
		a, b *Event
		same bool
	}{
		"one topic":                          {&deduper{}, arrivedOn("a/1"), arrivedOn("a/1"), true},
		"two topics":                         {&deduper{}, arrivedOn("a/1"), arrivedOn("a/2"), false},
		"one source":                         {&deduper{}, event("a/1", "/A"), event("a/1", "/A"), true},
		"two sources":                        {&deduper{}, event("a/1", "/A"), event("a/1", "/B"), false},
		"a source on two topics":             {&deduper{}, event("a/1", "/A"), event("a/2", "/A"), false},
		"source and topic, cut elsewhere":    {&deduper{}, event("a/1", "2"), event("a/12", ""), false},
		"a source without an event":          {&deduper{}, arrivedOn("a/1", "source", "/A"), arrivedOn("a/1", "source", "/B"), true},
		"declared, in events of two sources": {&deduper{}, declared, arrivedOn("a/1"), true},
		"spanning, two topics":               {&deduper{span: true}, arrivedOn("a/1"), arrivedOn("b/2"), true},
		"spanning, one source":               {&deduper{span: true}, event("a/1", "/A"), event("b/2", "/A"), true},
		"spanning, two sources":              {&deduper{span: true}, event("a/1", "/A"), event("a/1", "/B"), false},
		"spanning, two tenants":              {&deduper{span: true, levels: tenants}, arrivedOn("a/1"), arrivedOn("b/1"), false},
		"spanning, one tenant":               {&deduper{span: true, levels: tenants}, arrivedOn("a/1"), arrivedOn("a/2"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a, b := tt.d.key(tt.a, "1"), tt.d.key(tt.b, "1"); (a == b) != tt.same {
				t.Errorf("%s and %s", a, b)
			}
		})
	}
}

// The key is made once for a message, and costs the id, its place, and the text.
func TestDedupKeyAllocations(t *testing.T) {
	e, d := arrivedOn("devices/sensor-1/data", "id", "1"), deduper{scope: "0123456789abcdef"}
	if n := testing.AllocsPerRun(100, func() { d.key(e, "0192e4a0-7a3b-7c51-8d1f-3e2c9b4a5d6e") }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}
