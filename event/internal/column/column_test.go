package column_test

import (
	"reflect"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/column"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func TestHeadersComeBack(t *testing.T) {
	t.Parallel()
	for _, want := range [][]message.Header{nil, {{Key: "b", Value: "2"}, {Key: "a", Value: ""}, {Key: "b", Value: "é\n\""}}} {
		text, err := column.Headers(want)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := column.ParseHeaders(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "{", `{"a":"b"}`, `["a"]`} {
		if got, err := column.ParseHeaders(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestBytesAreNeverNull(t *testing.T) {
	t.Parallel()
	if column.Bytes(nil) == nil || string(column.Bytes([]byte("x"))) != "x" {
		t.Error("changed")
	}
}
