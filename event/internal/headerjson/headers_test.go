package headerjson_test

import (
	"reflect"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/headerjson"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func TestHeadersComeBack(t *testing.T) {
	t.Parallel()
	for _, want := range [][]message.Header{nil, {{Key: "b", Value: "2"}, {Key: "a", Value: ""}, {Key: "b", Value: "é\n\""}}} {
		text, err := headerjson.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := headerjson.Decode(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "{", `{"a":"b"}`, `["a"]`} {
		if got, err := headerjson.Decode(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}
