package contender

import (
	"context"
	"io"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/reading"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// brokerOptions returns the options for both public packages. Payloads that are already
// bytes need no codec.
func brokerOptions(t Target, typed bool) []broker.Option {
	codec := func(o *broker.Options) { o.Codec = nil }
	if typed {
		codec = broker.WithCodec("proto")
	}
	opts := []broker.Option{
		broker.WithAddress(t.url("mqtt", "mqtts")), codec, mqttbroker.WithProtocolVersion(uint(t.Version)),
		mqttbroker.WithClientId(clientID()), mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)),
	}
	if t.TLS != nil {
		opts = append(opts, broker.WithTLSConfig(t.TLS))
	}
	return append(opts, t.Observed...)
}

// Compat publishes through kratos-transport's interface.
func Compat(typed bool) OpenPublisher {
	return func(t Target) (*Publisher, error) {
		b := mqttbroker.NewBroker(brokerOptions(t, typed)...)
		if err := b.Connect(); err != nil {
			return nil, err
		}
		ctx := context.Background()
		return &Publisher{
			Wait: func(w *Work) error {
				return b.Publish(ctx, w.Topic, &broker.Message{Body: body(w)})
			},
			Pipeline: func(w *Work) error {
				sent := int64(0)
				async := broker.WithPublishAsync(w.ack)
				for ; !w.Stopped.Load(); sent++ {
					if err := b.Publish(ctx, w.Topic, &broker.Message{Body: body(w)}, async); err != nil {
						return err
					}
				}
				return w.settle(sent)
			},
			Close: func() { _ = b.Disconnect() },
		}, nil
	}
}

func body(w *Work) any {
	if w.Message != nil {
		return w.Message
	}
	return w.Payload
}

// CompatSubscriber subscribes through kratos-transport's interface.
func CompatSubscriber(t Target, s *Subscription) (func(), error) {
	b := mqttbroker.NewBroker(brokerOptions(t, s.Typed != nil)...)
	handler, binder := handleBytes(s), broker.Binder(nil)
	if s.Typed != nil {
		binder = func() any { return new(reading.Reading) }
		handler = func(_ context.Context, e broker.Event) error {
			s.Typed(e.Message().Body.(*reading.Reading))
			return nil
		}
	}
	if _, err := b.Subscribe(s.Filter, handler, binder, mqttbroker.WithSubscribeQos(s.QoS)); err != nil {
		return nil, err
	}
	if err := b.Connect(); err != nil {
		return nil, err
	}
	return func() { _ = b.Disconnect() }, nil
}

func handleBytes(s *Subscription) broker.Handler {
	return func(_ context.Context, e broker.Event) error {
		s.Handle(e.Message().Body.([]byte))
		return nil
	}
}
