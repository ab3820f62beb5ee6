package envelope

import (
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
			f, err := NewIDField(tt.field, tt.body)
			if tt.bad {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := f.Of(tt.body); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, body := range []any{nil, 5, (*report)(nil), []byte("x"), &apipb.Method{}} {
				_ = f.Of(body) // a middleware may have replaced it
			}
		})
	}
}
