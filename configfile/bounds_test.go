package configfile_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// TestBounds checks that a file that is not read to its end is reported.
func TestBounds(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString("subscriptions:\n")
	for i := range 60_000 {
		fmt.Fprintf(&many, "  a/%d: {exhausted: park}\n", i)
	}
	for _, c := range []struct {
		name, text string
		m          proto.Message
		want       string
	}{
		{"many keys", many.String(), &v1.Subscriber{}, "c.yaml:50001: has more than 100000 keys and items"},
		{"many items", "previous_filters: [" + strings.Repeat("a,", 100_001) + "]", &v1.Subscriber{}, "c.yaml:1: has more than 100000 keys"},
		{"an alias in itself", "nested_type: &a\n- name: x\n  nested_type: *a\n", &descriptorpb.DescriptorProto{}, "is nested deeper than 100 sections"},
		{"merges in itself", "client_id: x\ntls: &a\n  ca_file: x\n  <<: [*a, *a]\n", &v1.Connection{}, "is nested deeper than 100 sections"},
		{"a placeholder in a default", "password: ${NAME:${SECRET}}", &v1.Connection{}, "c.yaml:1: password: has a default that contains {"},
		{"braces in a default", `username: '${NAME:{"a":1}}'`, &v1.Connection{}, "c.yaml:1: username: has a default that contains {"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := parse(c.text, c.m)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("err = %v, want %q alone", err, c.want)
			}
		})
	}
}

// TestMergedNames merges a key in its other form: the key beside << takes precedence.
func TestMergedNames(t *testing.T) {
	t.Parallel()
	c := new(v1.Connection)
	if err := parse("<<: {keepAlive: 5s}\nkeep_alive: 7s\n", c); err != nil || c.GetKeepAlive().GetSeconds() != 7 {
		t.Errorf("%v, %v", c, err)
	}
}

// TestFloatRange checks that a number that is too large is refused and does not become
// infinite.
func TestFloatRange(t *testing.T) {
	t.Parallel()
	if err := parse("value: 1e39", new(wrapperspb.FloatValue)); err == nil || !strings.Contains(err.Error(), "c.yaml:1: value: want a number") {
		t.Errorf("err = %v", err)
	}
}
