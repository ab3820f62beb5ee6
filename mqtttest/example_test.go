package mqtttest_test

import (
	"fmt"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A test starts the broker it needs and talks to it with any client.
func Example() {
	test := func(t testing.TB) {
		broker := mqtttest.InProcess(t)

		client := paho.NewClient(paho.NewClientOptions().AddBroker(broker.URL()).SetClientID("example"))
		if token := client.Connect(); token.Wait() && token.Error() != nil {
			t.Fatal(token.Error())
		}
		defer client.Disconnect(250)

		messages := make(chan string, 1)
		client.Subscribe("devices/+/data", 1, func(_ paho.Client, m paho.Message) {
			messages <- fmt.Sprintf("%s: %s", m.Topic(), m.Payload())
		}).Wait()
		client.Publish("devices/7/data", 1, false, "21.5").Wait()

		select {
		case m := <-messages:
			fmt.Println(m)
		case <-time.After(5 * time.Second):
			t.Fatal("no message")
		}
	}
	runExample(test)
	// Output: devices/7/data: 21.5
}
