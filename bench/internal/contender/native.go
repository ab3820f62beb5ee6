package contender

import (
	"context"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/reading"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Native publishes with the native publisher of broker/mqtt.
func Native(t Target) (*Publisher, error) {
	p, err := mqttbroker.NewPublisher(append(brokerOptions(t, false), mqttbroker.WithPublisherConfig(&v1.Publisher{InFlight: Window}))...)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	return &Publisher{
		Wait: func(w *Work) error {
			payload, err := w.payload()
			if err != nil {
				return err
			}
			return p.Publish(ctx, w.Topic, payload)
		},
		Pipeline: func(w *Work) error {
			sent, done := int64(0), w.ack
			for ; !w.Stopped.Load(); sent++ {
				payload, err := w.payload()
				if err != nil {
					return err
				}
				if err := p.PublishAsync(ctx, w.Topic, payload, done); err != nil {
					return err
				}
			}
			return w.settle(sent)
		},
		Close: func() { _ = p.Stop(ctx) },
	}, nil
}

// NativeSubscriber subscribes at the server layer, with the Transport in the context of
// the handler.
func NativeSubscriber(t Target, s *Subscription) (func(), error) {
	srv, err := NewServer(t, s)
	if err != nil {
		return nil, err
	}
	return StartServer(srv)
}

// NewServer returns a server that is not started yet.
func NewServer(t Target, s *Subscription) (*mqttserver.Server, error) {
	ctx := context.Background()
	srv := mqttserver.NewServer(
		mqttserver.WithBrokerOptions(brokerOptions(t, s.Typed != nil)...),
		mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: uint32(s.Concurrency)})),
	)
	qos := mqttbroker.WithSubscribeQos(s.QoS)
	for _, filter := range s.Others {
		if err := srv.RegisterSubscriber(ctx, filter, ignore, nil, qos); err != nil {
			return nil, err
		}
	}
	if s.Typed == nil {
		return srv, srv.RegisterSubscriber(ctx, s.Filter, handleBytes(s), nil, qos)
	}
	return srv, mqttserver.RegisterSubscriber(srv, ctx, s.Filter,
		func(_ context.Context, _ string, _ broker.Headers, m *reading.Reading) error {
			s.Typed(m)
			return nil
		}, qos)
}

// StartServer starts a server and waits until its subscriptions are granted.
func StartServer(srv *mqttserver.Server) (func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := srv.Start(ctx); err != nil {
		return nil, err
	}
	if err := srv.WaitReady(ctx); err != nil {
		return nil, err
	}
	return func() { _ = srv.Stop(hurry()) }, nil
}

func ignore(context.Context, broker.Event) error { return nil }

// hurry returns the context for a stop that need not drain.
func hurry() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}
