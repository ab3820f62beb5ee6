package broker_test

import (
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// The broker is too busy for the first two attempts to connect. What really
// happened can be asked for afterwards.
func Example() {
	b, err := broker.Listen()
	if err != nil {
		panic(err)
	}
	defer b.Close()
	busy, err := b.Inject(broker.Fault{
		Direction: broker.ToBroker, Type: broker.Connect, Times: 2, Do: broker.Refuse(0x89), // server busy
	})
	if err != nil {
		panic(err)
	}

	client := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + b.Addr()).SetClientID("example").
		SetConnectRetry(true).SetConnectRetryInterval(time.Millisecond))
	client.Connect().Wait()
	defer client.Disconnect(250)
	token := client.Publish("devices/7/data", 1, false, "21.5")
	token.Wait()

	fmt.Println("error:", token.Error())
	fmt.Println("refused:", busy.Applied())
	fmt.Println("published:", b.Counts().Published, "dropped:", b.Dropped())
	// Output:
	// error: <nil>
	// refused: 2
	// published: 1 dropped: 0
}
