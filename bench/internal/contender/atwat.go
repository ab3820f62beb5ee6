package contender

import (
	"context"

	"github.com/at-wat/mqtt-go"
)

func atwatConnect(t Target) (*mqtt.BaseClient, error) {
	ctx := context.Background()
	c, err := (&mqtt.URLDialer{URL: t.url("mqtt", "mqtts")}).DialContext(ctx)
	if err != nil {
		return nil, err
	}
	_, err = c.Connect(ctx, clientID(), mqtt.WithCleanSession(true), mqtt.WithKeepAlive(30))
	return c, err
}

// Atwat publishes with at-wat/mqtt-go.
func Atwat(t Target) (*Publisher, error) {
	c, err := atwatConnect(t)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &Publisher{
		Wait: func(w *Work) error {
			return c.Publish(ctx, &mqtt.Message{Topic: w.Topic, QoS: mqtt.QoS1, Payload: w.Payload})
		},
		Close: func() { _ = c.Disconnect(ctx) },
	}, nil
}

// AtwatSubscriber subscribes with at-wat/mqtt-go.
func AtwatSubscriber(t Target, s *Subscription) (func(), error) {
	c, err := atwatConnect(t)
	if err != nil {
		return nil, err
	}
	c.Handle(mqtt.HandlerFunc(func(m *mqtt.Message) { s.Handle(m.Payload) }))
	granted, err := c.Subscribe(context.Background(), mqtt.Subscription{Topic: s.Filter, QoS: mqtt.QoS(s.QoS)})
	if err == nil && len(granted) != 1 {
		err = errRefused
	}
	return func() { _ = c.Close() }, err
}
