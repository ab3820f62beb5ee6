package bridge

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/typepb"
	"google.golang.org/protobuf/types/known/wrapperspb"
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
		key := d.key(id)
		if twin, ok := seen[key]; ok {
			t.Errorf("%q and %q are one", id, twin)
		}
		if seen[key] = id; len(key) > 150 || strings.ContainsAny(key, "\x00 ü") {
			t.Errorf("key %q", key)
		}
	}
	if d.key("1") != first+":1" {
		t.Error("a plain id is not readable")
	}
}
