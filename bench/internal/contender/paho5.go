package contender

import (
	"context"
	"net"

	"github.com/eclipse/paho.golang/paho"
)

func paho5Connect(t Target, on []func(paho.PublishReceived) (bool, error)) (*paho.Client, error) {
	nc, err := net.Dial("tcp", t.Host)
	if err != nil {
		return nil, err
	}
	c := paho.NewClient(paho.ClientConfig{Conn: nc, OnPublishReceived: on})
	_, err = c.Connect(context.Background(), &paho.Connect{ClientID: clientID(), KeepAlive: 30, CleanStart: true})
	return c, err
}

// Paho5 publishes with a bare paho.golang, over MQTT 5.
func Paho5(t Target) (*Publisher, error) {
	c, err := paho5Connect(t, nil)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	return &Publisher{
		Wait: func(w *Work) error {
			_, err := c.Publish(ctx, &paho.Publish{Topic: w.Topic, QoS: 1, Payload: w.Payload})
			return err
		},
		Close: func() { _ = c.Disconnect(&paho.Disconnect{}) },
	}, nil
}

// Paho5Subscriber subscribes with a bare paho.golang, over MQTT 5.
func Paho5Subscriber(t Target, s *Subscription) (func(), error) {
	c, err := paho5Connect(t, []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
		s.Handle(p.Packet.Payload)
		return true, nil
	}})
	if err != nil {
		return nil, err
	}
	_, err = c.Subscribe(context.Background(), &paho.Subscribe{
		Subscriptions: []paho.SubscribeOptions{{Topic: s.Filter, QoS: s.QoS}},
	})
	return func() { _ = c.Disconnect(&paho.Disconnect{}) }, err
}
