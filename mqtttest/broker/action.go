package broker

import (
	"strings"
	"time"
)

// kind of an action.
type kind byte

const (
	pass kind = iota
	refuse
	drop
	delay
	cutBefore
	cutAfter
	cutWithin
	halfOpen
	stopReading
	rewrite
	replay
	call
	end
)

func (k kind) String() string {
	names := [...]string{
		"pass", "refuse", "drop", "delay", "cut before", "cut after", "cut within", "half-open", "stop reading",
		"rewrite", "replay", "call", "end",
	}
	return names[k]
}

// Action is what a [Fault] does to a packet.
type Action struct {
	kind    kind
	code    byte
	delay   time.Duration
	rewrite func(Packet) [][]byte
	call    func(*Broker)
}

// name is the kind of fault that is counted.
func (a Action) name(t PacketType) string {
	switch a.kind {
	case refuse:
		return "refuse " + strings.ToLower(t.String())
	default:
		return a.kind.String()
	}
}

// Refuse answers with a reason code of MQTT 5 instead of doing what is asked:
// CONNACK, SUBACK, UNSUBACK, PUBACK or PUBREC. MQTT 3.1.1 clients get the
// nearest CONNACK code (codes below 0x80 are sent as they are), 0x80 in a
// SUBACK, and for a PUBLISH a plain acknowledgement: that version cannot say
// no. Such a message counts as Swallowed.
func Refuse(code byte) Action { return Action{kind: refuse, code: code} }

// Drop lets the packet vanish. What it concerned is not repeated before the
// client connects again.
func Drop() Action { return Action{kind: drop} }

// Delay holds the packet back, and with it all that follow in its direction: one
// to a client before it is written, one from a client for so long after it was
// read. What arrives meanwhile is read afterwards; for a link with a steady
// latency there is mqtttest.Proxy.
func Delay(by time.Duration) Action { return Action{kind: delay, delay: by} }

// CutBefore cuts the connection instead of passing the packet on: with RST when
// it came from the client, after what was sent before when it goes to it.
func CutBefore() Action { return Action{kind: cutBefore} }

// CutAfter passes the packet on and cuts the connection: one from the client is
// treated, but no answer to it is sent; one to the client is the last that the
// client gets, and nothing of what the client sends is treated any more.
func CutAfter() Action { return Action{kind: cutAfter} }

// CutWithin sends half of a packet to a client and then cuts the connection. On
// a packet from a client it is [CutBefore].
func CutWithin() Action { return Action{kind: cutWithin} }

// End ends the connection in order instead of treating a packet of the client,
// as brokers do that refuse it: after a DISCONNECT with this reason code on MQTT
// 5, 0 for none, and with FIN.
func End(code byte) Action { return Action{kind: end, code: code} }

// HalfOpen makes the connection dead without closing it: from this packet on
// nothing is read and nothing written, until [Broker.HalfOpen] is called with
// false, the client connects again, or the broker ends.
func HalfOpen() Action { return Action{kind: halfOpen} }

// StopReading reads nothing more from the client after this packet, until
// [Broker.StopReading] is called with false. What the broker has to send, it
// sends.
func StopReading() Action { return Action{kind: stopReading} }

// Rewrite puts other bytes in the place of the packet: none, one or several
// packets, well formed or not. F must not call the broker, and must not keep the
// packet. [Packet.Encode] returns the packet itself. A CONNECT is left alone.
func Rewrite(f func(Packet) [][]byte) Action { return Action{kind: rewrite, rewrite: f} }

// Malformed sends these bytes in the place of the packet.
func Malformed(b []byte) Action {
	return Rewrite(func(Packet) [][]byte { return [][]byte{b} })
}

// Replay passes the packet on twice, a PUBLISH of QoS 1 or 2 with DUP the
// second time. A CONNECT is left alone.
func Replay() Action { return Action{kind: replay} }

// Call lets the packet pass and calls f in a goroutine of its own: a step of a
// script. F may call anything but Close, which waits for it.
func Call(f func(*Broker)) Action { return Action{kind: call, call: f} }

// welcomes reports whether a CONNECT that it hits is accepted all the same.
func (a Action) welcomes() bool {
	switch a.kind {
	case delay, cutAfter, stopReading, call:
		return true
	default:
		return false
	}
}
