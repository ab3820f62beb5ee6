package session

import (
	"bytes"
	"net"
	"sync/atomic"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// peer5 is the scripted MQTT 5 broker's end of one connection.
type peer5 struct {
	net.Conn
	n       int // counts connections from 1
	connect *packets.Connect
	suback  func(*packets.Subscribe) []byte   // returns properties and codes; nil grants every filter
	unsub   func(*packets.Unsubscribe) []byte // the same for UNSUBACK; nil means success
}

// scripted5 starts a broker that answers each CONNECT with the result of
// connack and then passes the connection to serve.
func scripted5(t testing.TB, connack func(n int) []byte, serve func(*peer5)) string {
	t.Helper()
	var n atomic.Int64
	return mqtttest.ScriptedBroker(t, func(c net.Conn) {
		p := &peer5{Conn: c, n: int(n.Add(1))}
		var ok bool
		if p.connect, ok = read5(c).(*packets.Connect); ok {
			p.send(connack(p.n))
			serve(p)
		}
	}).URL()
}

// welcome returns a function that accepts every CONNECT with the given CONNACK
// properties.
func welcome(properties ...byte) func(int) []byte {
	return func(int) []byte { return connack5(0, properties...) }
}

func connack5(code byte, properties ...byte) []byte {
	return mqtttest.PacketOf(0x20, []byte{0, code, byte(len(properties))}, properties)
}

// reason5 returns a property list with a reason string.
func reason5(text string) []byte {
	p := append([]byte{0x1F}, mqtttest.StringField(text)...)
	return append([]byte{byte(len(p))}, p...)
}

// ack5 returns an acknowledgement with a reason code and a reason string.
func ack5(t mqtttest.PacketType, id uint16, code byte, text string) []byte {
	return mqtttest.PacketOf(byte(t)<<4, mqtttest.Uint16Field(id), []byte{code}, reason5(text))
}

// read5 returns the next packet as paho.golang reads it, or nil at the end.
func read5(c net.Conn) packets.Packet {
	p, err := mqtttest.ReadPacket(c)
	if err != nil {
		return nil
	}
	got, err := packets.ReadPacket(bytes.NewReader(p.Encode()))
	if err != nil {
		return nil
	}
	return got.Content
}

func (p *peer5) send(list ...[]byte) {
	for _, b := range list {
		_, _ = p.Write(b)
	}
}

// next returns the next packet of the data plane or DISCONNECT and answers all
// other packets. It returns nil at the end of the connection.
func (p *peer5) next() packets.Packet {
	for {
		switch got := read5(p.Conn).(type) {
		case *packets.Subscribe:
			tail := []byte{0, got.Subscriptions[0].QoS}
			if p.suback != nil {
				tail = p.suback(got)
			}
			p.send(mqtttest.PacketOf(0x90, mqtttest.Uint16Field(got.PacketID), tail))
		case *packets.Unsubscribe:
			tail := []byte{0, 0}
			if p.unsub != nil {
				tail = p.unsub(got)
			}
			p.send(mqtttest.PacketOf(0xB0, mqtttest.Uint16Field(got.PacketID), tail))
		case *packets.Pingreq:
			p.send([]byte{0xD0, 0})
		default:
			return got
		}
	}
}

// serveAll5 acknowledges everything.
func serveAll5(p *peer5) {
	for {
		switch got := p.next().(type) {
		case *packets.Publish:
			switch got.QoS {
			case 1:
				p.send(ack(mqtttest.TypePuback, got.PacketID))
			case 2:
				p.send(ack(mqtttest.TypePubrec, got.PacketID))
			}
		case *packets.Pubrel:
			p.send(ack(mqtttest.TypePubcomp, got.PacketID))
		case nil, *packets.Disconnect:
			return
		}
	}
}
