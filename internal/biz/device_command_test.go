package biz

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
)

func TestSend(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fake := &deviceFake{}
	u := NewDeviceUsecase(fake, fake, fake, Limits{})
	want := Command{DeviceID: "d1", Name: "restart", Arguments: map[string]any{"delay": 5.0}}
	id, err := u.Send(ctx, want)
	want.ID = id
	if err != nil || id == "" || !reflect.DeepEqual(fake.commands, []Command{want}) {
		t.Errorf("published %+v, %v", fake.commands, err)
	}
	fake.failPublish = errFake
	if id, err := u.Send(ctx, want); id != "" || !errors.Is(err, errFake) {
		t.Errorf("not published: %q, %v", id, err)
	}
}

func TestSendRefusesUnusableCommands(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		field  string
		change func(*Command)
	}{
		"no device":       {"device_id", func(c *Command) { c.DeviceID = "" }},
		"two levels":      {"device_id", func(c *Command) { c.DeviceID = "a/b" }},
		"every device":    {"device_id", func(c *Command) { c.DeviceID = "+" }},
		"no name":         {"name", func(c *Command) { c.Name = "" }},
		"long name":       {"name", func(c *Command) { c.Name = strings.Repeat("x", maxName+1) }},
		"large arguments": {"arguments", func(c *Command) { c.Arguments = map[string]any{"a": strings.Repeat("x", maxContent)} }},
		"not JSON":        {"arguments", func(c *Command) { c.Arguments = map[string]any{"a": math.NaN()} }},
	} {
		fake := &deviceFake{}
		c := Command{DeviceID: "d1", Name: "restart"}
		test.change(&c)
		_, err := NewDeviceUsecase(fake, fake, fake, Limits{}).Send(context.Background(), c)
		e := kerrors.FromError(err)
		if e == nil || e.Code != 400 || len(e.Metadata) != 1 || e.Metadata[test.field] == "" || len(fake.commands) != 0 {
			t.Errorf("%s: got %v, published %v", name, err, fake.commands)
		}
	}
}
