package mqtt_test

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

type fromOption struct{}

// Connect has no context argument, so handlers find the values of the options' context.
// Values of a subscription's own context take precedence. The end of either context
// ends nothing.
func TestHandlersFindTheValuesOfTheOptionContext(t *testing.T) {
	t.Parallel()
	options, cancel := context.WithCancel(context.WithValue(t.Context(), fromOption{}, "option"))
	b := open(t, mqtttest.InProcess(t).URL(), broker.WithOptionContext(options))
	type seen struct {
		value any
		err   error
	}
	got := make(chan seen, 1)
	handler := func(ctx context.Context, _ broker.Event) error {
		got <- seen{ctx.Value(fromOption{}), ctx.Err()}
		return nil
	}
	own := context.WithValue(options, fromOption{}, "own")
	for filter, opts := range map[string][]broker.SubscribeOption{
		"a": nil,
		"b": {broker.WithSubscribeContext(own)},
	} {
		if _, err := b.Subscribe(filter, handler, nil, opts...); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "x")
	if s := receive(t, got); s != (seen{"option", nil}) {
		t.Errorf("got %v", s)
	}
	publish(t, b, "b", "x")
	if s := receive(t, got); s != (seen{"own", nil}) {
		t.Errorf("with a context of its own: got %v", s)
	}
}
