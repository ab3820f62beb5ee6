package scripted_test

import (
	"fmt"
	"net"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/scripted"
)

// A broker in any program, whose next two CONNECTs are refused.
func ExampleListen() {
	b, err := scripted.Listen(scripted.MaxInflight(100), scripted.WithFaults(scripted.Fault{
		Type: scripted.Connect, Times: 2, Do: scripted.Refuse(0x88),
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	for range 3 {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = c.Write(mqtttest.ConnectPacket(5, "me", true))
		answer, err := mqtttest.ReadPacket(c)
		fmt.Printf("%v %#x %v\n", answer.Type(), answer.Body[1], err)
		_ = c.Close()
	}
	fmt.Println(b.Faults(), b.Dropped())
	// Output:
	// CONNACK 0x88 <nil>
	// CONNACK 0x88 <nil>
	// CONNACK 0x0 <nil>
	// map[refuse connect:2] 0
}
