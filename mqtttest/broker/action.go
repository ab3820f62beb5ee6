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

// name returns the kind of fault for the counts.
func (a Action) name(t PacketType) string {
	switch a.kind {
	case refuse:
		return "refuse " + strings.ToLower(t.String())
	default:
		return a.kind.String()
	}
}

// Refuse answers a request with an MQTT 5 reason code instead of executing it: in a CONNACK,
// SUBACK, UNSUBACK, PUBACK or PUBREC. MQTT 3.1.1 clients get the nearest CONNACK code (codes
// below 0x80 are sent unchanged), 0x80 in a SUBACK, and a plain acknowledgement for a PUBLISH,
// because that version cannot refuse one. Such a message counts as Swallowed.
func Refuse(code byte) Action { return Action{kind: refuse, code: code} }

// Drop discards the packet. Its effect is not repeated before the client reconnects.
func Drop() Action { return Action{kind: drop} }

// Delay delays the packet and all packets after it in its direction: one to a client before it
// is written, one from a client after it was read. Later packets are read only afterwards; for
// a link with constant latency use mqtttest.Proxy.
func Delay(by time.Duration) Action { return Action{kind: delay, delay: by} }

// CutBefore cuts the connection instead of passing the packet on: at once with RST for a
// packet from the client, after everything sent before for a packet to the client.
func CutBefore() Action { return Action{kind: cutBefore} }

// CutAfter passes the packet on and cuts the connection: a packet from the client is handled
// without sending a response; after a packet to the client nothing more from the client is
// handled.
func CutAfter() Action { return Action{kind: cutAfter} }

// CutWithin sends half of a packet to a client and then cuts the connection. For a packet from
// a client it is the same as [CutBefore].
func CutWithin() Action { return Action{kind: cutWithin} }

// End ends the connection gracefully instead of handling a packet of the client, as brokers do
// that refuse it: on MQTT 5 with a DISCONNECT with this reason code, unless it is 0, and then
// with FIN.
func End(code byte) Action { return Action{kind: end, code: code} }

// HalfOpen makes the connection dead without closing it: after this packet nothing is read or
// written until [Broker.HalfOpen] is called with false, the client reconnects, or the broker
// ends.
func HalfOpen() Action { return Action{kind: halfOpen} }

// StopReading stops reading from the client after this packet, until [Broker.StopReading] is
// called with false. The broker continues to send.
func StopReading() Action { return Action{kind: stopReading} }

// Rewrite replaces the packet by other bytes: no packet, or one or more, valid or not. f must
// not call the broker and must not keep the packet. [Packet.Encode] returns the original
// bytes. A CONNECT is not changed.
func Rewrite(f func(Packet) [][]byte) Action { return Action{kind: rewrite, rewrite: f} }

// Malformed sends these bytes in place of the packet.
func Malformed(b []byte) Action {
	return Rewrite(func(Packet) [][]byte { return [][]byte{b} })
}

// Replay passes the packet on twice, a PUBLISH of QoS 1 or 2 with DUP the second time. A
// CONNECT is not repeated.
func Replay() Action { return Action{kind: replay} }

// Call passes the packet on and calls f in a new goroutine. f may call every method except
// Close, which waits for it.
func Call(f func(*Broker)) Action { return Action{kind: call, call: f} }

// welcomes reports whether a CONNECT hit by the action is accepted nevertheless.
func (a Action) welcomes() bool {
	switch a.kind {
	case delay, cutAfter, stopReading, call:
		return true
	default:
		return false
	}
}
