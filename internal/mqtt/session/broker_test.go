package session

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// peer is the scripted broker's end of one connection, after CONNACK.
type peer struct {
	net.Conn
	n       int // counts connections from 1
	connect mqtttest.Packet
	codes   func(filter string) byte // code for SUBACK; nil, and any code that is not a failure, grants the requested QoS
}

// scripted starts a broker that accepts every connection with the given session
// present flag and then passes it to serve.
func scripted(t testing.TB, present bool, serve func(*peer)) string {
	t.Helper()
	var n atomic.Int64
	return mqtttest.ScriptedBroker(t, func(c net.Conn) {
		p := &peer{Conn: c, n: int(n.Add(1))}
		var err error
		if p.connect, err = mqtttest.ReadPacket(c); err == nil {
			p.send(mqtttest.ConnackPacket(4, present, 0))
			serve(p)
		}
	}).URL()
}

func (p *peer) send(packets ...[]byte) {
	for _, b := range packets {
		_, _ = p.Write(b)
	}
}

// next returns the next packet of the data plane or DISCONNECT and answers all
// other packets. ok is false at the end of the connection.
func (p *peer) next() (packet mqtttest.Packet, ok bool) {
	for {
		packet, err := mqtttest.ReadPacket(p)
		if err != nil {
			return packet, false
		}
		switch packet.Type() {
		case mqtttest.TypeSubscribe:
			p.send(mqtttest.SubackPacket(4, packet.ID(), p.grant(packet)...))
		case mqtttest.TypeUnsubscribe:
			p.send(ack(mqtttest.TypeUnsuback, packet.ID()))
		case mqtttest.TypePingreq:
			p.send([]byte{0xD0, 0})
		default:
			return packet, true
		}
	}
}

// grant returns one code for each filter of a SUBSCRIBE.
func (p *peer) grant(packet mqtttest.Packet) (codes []byte) {
	for i, f := range filtersOf(packet) {
		code := levelsOf(packet)[i]
		if p.codes != nil {
			if answer := p.codes(f); answer >= codeFailed {
				code = answer
			}
		}
		codes = append(codes, code)
	}
	return codes
}

// levelsOf returns the QoS levels that a SUBSCRIBE requests.
func levelsOf(p mqtttest.Packet) (list []byte) {
	for b := p.Body[2:]; len(b) > 2; {
		n := 2 + int(b[0])<<8 + int(b[1])
		list, b = append(list, b[n]&3), b[n+1:]
	}
	return list
}

// filtersOf returns the filters of a SUBSCRIBE or UNSUBSCRIBE.
func filtersOf(p mqtttest.Packet) (list []string) {
	for b := p.Body[2:]; len(b) > 2; {
		n := int(b[0])<<8 | int(b[1])
		list = append(list, string(b[2:2+n]))
		if b = b[2+n:]; p.Type() == mqtttest.TypeSubscribe {
			b = b[1:]
		}
	}
	return list
}

// answer acknowledges a packet of a publisher.
func (p *peer) answer(packet mqtttest.Packet) {
	switch packet.Type() {
	case mqtttest.TypePublish:
		switch packet.QoS() {
		case 1:
			p.send(puback(packet.ID()))
		case 2:
			p.send(ack(mqtttest.TypePubrec, packet.ID()))
		}
	case mqtttest.TypePubrel:
		p.send(ack(mqtttest.TypePubcomp, packet.ID()))
	}
}

// serveAll acknowledges everything.
func serveAll(p *peer) {
	for packet, ok := p.next(); ok && packet.Type() != mqtttest.TypeDisconnect; packet, ok = p.next() {
		p.answer(packet)
	}
}

// reset ends a connection with RST.
func (p *peer) reset() {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Close()
}

// drain reads until the client ends the connection and answers nothing.
func (p *peer) drain() {
	for {
		if _, ok := p.next(); !ok {
			return
		}
	}
}
