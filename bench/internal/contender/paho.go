package contender

import (
	paho "github.com/eclipse/paho.mqtt.golang"
)

func pahoOptions(t Target) *paho.ClientOptions {
	o := paho.NewClientOptions().AddBroker(t.url("tcp", "ssl")).SetClientID(clientID())
	if t.TLS != nil {
		o.SetTLSConfig(t.TLS.Clone())
	}
	return o.SetProtocolVersion(4)
}

func pahoConnect(t Target) (paho.Client, error) {
	c := paho.NewClient(pahoOptions(t))
	token := c.Connect()
	token.Wait()
	return c, token.Error()
}

// Paho publishes with a bare paho.mqtt.golang.
func Paho(t Target) (*Publisher, error) {
	c, err := pahoConnect(t)
	if err != nil {
		return nil, err
	}
	return &Publisher{
		Wait: func(w *Work) error {
			payload, err := w.payload()
			if err != nil {
				return err
			}
			token := c.Publish(w.Topic, 1, false, payload)
			<-token.Done()
			return token.Error()
		},
		Pipeline: func(w *Work) error { return pahoPipeline(c, w) },
		Close:    func() { c.Disconnect(0) },
	}, nil
}

// pahoPipeline waits for the oldest token when the window is full.
func pahoPipeline(c paho.Client, w *Work) error {
	var window [Window]paho.Token
	finish := func(token paho.Token) {
		<-token.Done()
		w.ack(token.Error())
	}
	for i := 0; !w.Stopped.Load(); i = (i + 1) % Window {
		if window[i] != nil {
			finish(window[i])
		}
		payload, err := w.payload()
		if err != nil {
			return err
		}
		window[i] = c.Publish(w.Topic, 1, false, payload)
	}
	for _, token := range window {
		if token != nil {
			finish(token)
		}
	}
	return nil
}

// PahoSubscriber subscribes with a bare paho.mqtt.golang.
func PahoSubscriber(t Target, s *Subscription) (func(), error) {
	c, err := pahoConnect(t)
	if err != nil {
		return nil, err
	}
	token := c.Subscribe(s.Filter, s.QoS, func(_ paho.Client, m paho.Message) {
		if s.Typed == nil {
			s.Handle(m.Payload())
		} else if err := decode(m.Payload(), s.Typed); err != nil {
			panic(err)
		}
	})
	token.Wait()
	return func() { c.Disconnect(0) }, token.Error()
}
