package faultmatrix_test

import (
	"net"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// level returns the protocol level in CONNECT.
func (h *harness) level() byte {
	if h.five() {
		return 5
	}
	return 4
}

// polite answers everything that a client may send. more then controls the n-th
// connection, counted from 1, and ends with the connection.
func (h *harness) polite(subscribe func(n int, p mqtttest.Packet) []byte, more func(n int, c net.Conn)) *mqtttest.Scripted {
	var connections atomic.Int32
	return mqtttest.ScriptedBroker(h, func(c net.Conn) {
		n := int(connections.Add(1))
		for {
			p, err := mqtttest.ReadPacket(c)
			if err != nil {
				return
			}
			switch p.Type() {
			case mqtttest.TypeConnect:
				_, _ = c.Write(mqtttest.ConnackPacket(h.level(), false, 0))
			case mqtttest.TypeSubscribe:
				_, _ = c.Write(subscribe(n, p))
				if more != nil {
					more(n, c)
				}
			case mqtttest.TypeUnsubscribe:
				_, _ = c.Write(h.gone(p))
			case mqtttest.TypePublish:
				if p.QoS() == 1 {
					_, _ = c.Write(mqtttest.AckPacket(mqtttest.TypePuback, p.ID()))
				}
			case mqtttest.TypePingreq:
				_, _ = c.Write(mqtttest.PacketOf(byte(mqtttest.TypePingresp) << 4))
			}
		}
	})
}

// grant answers a SUBSCRIBE with QoS 1.
func (h *harness) grant(_ int, p mqtttest.Packet) []byte {
	return mqtttest.SubackPacket(h.level(), p.ID(), 1)
}

// gone returns the UNSUBACK for one filter.
func (h *harness) gone(p mqtttest.Packet) []byte {
	if h.five() {
		return mqtttest.PacketOf(byte(mqtttest.TypeUnsuback)<<4, mqtttest.Uint16Field(p.ID()), []byte{0, 0})
	}
	return mqtttest.AckPacket(mqtttest.TypeUnsuback, p.ID())
}
