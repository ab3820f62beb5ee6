package broker

import "fmt"

// PacketType is the type of an MQTT control packet [MQTT-2.1.2].
type PacketType byte

// The control packet types. AnyType matches all of them.
const (
	AnyType     PacketType = 0
	Connect     PacketType = 1
	Connack     PacketType = 2
	Publish     PacketType = 3
	Puback      PacketType = 4
	Pubrec      PacketType = 5
	Pubrel      PacketType = 6
	Pubcomp     PacketType = 7
	Subscribe   PacketType = 8
	Suback      PacketType = 9
	Unsubscribe PacketType = 10
	Unsuback    PacketType = 11
	Pingreq     PacketType = 12
	Pingresp    PacketType = 13
	Disconnect  PacketType = 14
	Auth        PacketType = 15
)

// String returns the name in the MQTT standard.
func (t PacketType) String() string {
	names := [...]string{
		"reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
		"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("PacketType(%d)", byte(t))
}

// Direction is the direction of a packet.
type Direction int

// The directions.
const (
	ToBroker Direction = iota // from client to broker
	ToClient                  // from broker to client
)

// String names the receiver.
func (d Direction) String() string {
	if d == ToBroker {
		return "to broker"
	}
	return "to client"
}
