package main

import (
	"log"

	paho "github.com/eclipse/paho.mqtt.golang"
)

const (
	topicEvent = "reports/event"
	topicUser  = "reports/user"
)

// connect returns the connection for publishing.
func connect(broker, id string) (paho.Client, error) {
	client := paho.NewClient(options(broker, id))
	token := client.Connect()
	token.Wait()
	return client, token.Error()
}

// subscribe returns the connection for receiving, with a persistent session. The handler
// must acknowledge each message once it is stored.
func subscribe(broker, id string, handler func(paho.Message)) (paho.Client, error) {
	o := options(broker, id).SetCleanSession(false).SetAutoAckDisabled(true)
	receive := func(_ paho.Client, m paho.Message) { handler(m) }
	o.SetOnConnectHandler(func(client paho.Client) {
		token := client.SubscribeMultiple(map[string]byte{topicEvent: 1, topicUser: 1}, receive)
		if token.Wait(); token.Error() != nil {
			log.Printf("subscribe: %v", token.Error())
		}
	})
	client := paho.NewClient(o)
	token := client.Connect()
	token.Wait()
	return client, token.Error()
}

func options(broker, id string) *paho.ClientOptions {
	return paho.NewClientOptions().AddBroker(broker).SetClientID(id).SetConnectRetry(true).SetMessageChannelDepth(1000)
}
