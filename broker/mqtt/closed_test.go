package mqtt_test

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A middleware of kratos-transport that cannot be constructed is an error of the
// registration, or of Init and Connect. A nil middleware is left out.
func TestMiddlewareThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	handler := func(context.Context, broker.Event) error { return nil }
	for name, m := range map[string]broker.SubscriberMiddleware{
		"panic":       func(broker.Handler) broker.Handler { panic("no key") },
		"nil handler": func(broker.Handler) broker.Handler { return nil },
	} {
		_, err := open(t, url).Subscribe("a", handler, nil, broker.WithSubscribeMiddlewares(nil, m))
		wantReason(t, err, event.ReasonBadRequest, 400)
		_, err = open(t, url, broker.WithSubscriberMiddlewares(m)).Subscribe("a", handler, nil)
		if wantReason(t, err, event.ReasonBadRequest, 400).Op != "subscribe" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, m := range []broker.PublishMiddleware{
		func(broker.PublishHandler) broker.PublishHandler { panic("no key") },
		func(broker.PublishHandler) broker.PublishHandler { return nil },
	} {
		b := open(t, url, broker.WithPublishMiddlewares(m))
		wantReason(t, b.Init(), event.ReasonBadRequest, 400)
		wantReason(t, b.Connect(), event.ReasonBadRequest, 400)
		wantReason(t, b.Publish(within(t, patience), "a", broker.NewMessage("x")), event.ReasonBadRequest, 400)
	}
}
