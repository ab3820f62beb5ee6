package contender

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

func engineConfig(t Target) (client.Config, error) {
	addresses, err := client.ParseAddresses([]string{t.url("mqtt", "mqtts")})
	cfg := client.Config{
		Connection: client.Connection{Addresses: addresses, ClientID: clientID()},
		Protocol:   client.Version31, FailFast: true, Logger: logsafe.Silence,
	}
	cfg.Window = Window
	if t.Version == 5 {
		cfg.Protocol = client.Version5
	}
	if t.TLS != nil {
		cfg.TLS = func() (*tls.Config, error) { return t.TLS.Clone(), nil }
	}
	return cfg, err
}

func startEngine(cfg client.Config, subs ...*client.Subscription) (*client.Client, error) {
	c, err := client.New(&client.Settings{Config: cfg}, client.NewLasting(), nil)
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		if _, err := c.Subscribe(context.Background(), s); err != nil {
			return nil, err
		}
	}
	return c, c.Start(context.Background())
}

// Engine publishes on the engine below the public packages.
func Engine(t Target) (*Publisher, error) {
	cfg, err := engineConfig(t)
	if err != nil {
		return nil, err
	}
	c, err := startEngine(cfg)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &Publisher{
		Wait: func(w *Work) error {
			payload, err := w.payload()
			if err != nil {
				return err
			}
			return c.Publish(ctx, &client.Outgoing{Message: client.Message{Topic: w.Topic, Payload: payload, QoS: 1}, Encoded: true})
		},
		Pipeline: func(w *Work) error {
			sent, done := int64(0), w.ack
			for ; !w.Stopped.Load(); sent++ {
				payload, err := w.payload()
				if err != nil {
					return err
				}
				m := client.Outgoing{Message: client.Message{Topic: w.Topic, Payload: payload, QoS: 1, Done: done}, Encoded: true}
				if err := c.Publish(ctx, &m); err != nil {
					return err
				}
			}
			return w.settle(sent)
		},
		Close: func() { _ = c.Stop(ctx) },
	}, nil
}

// settle waits until all sent messages are acknowledged.
func (w *Work) settle(sent int64) error {
	for deadline := time.Now().Add(10 * time.Second); w.Done.Load() < sent; {
		if time.Now().After(deadline) {
			return context.DeadlineExceeded
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

// EngineSubscriber subscribes on the engine below the public packages.
func EngineSubscriber(t Target, s *Subscription) (func(), error) {
	cfg, err := engineConfig(t)
	if err != nil {
		return nil, err
	}
	cfg.Concurrency = s.Concurrency
	c, err := startEngine(cfg, &client.Subscription{
		Filter: s.Filter, QoS: s.QoS,
		Handler: func(_ context.Context, d *client.Delivery) error {
			if s.Typed != nil {
				return decode(d.Payload, s.Typed)
			}
			s.Handle(d.Payload)
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = c.Stop(hurry()) }, nil
}
