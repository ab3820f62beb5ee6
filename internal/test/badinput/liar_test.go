package badinput_test

import (
	"encoding/binary"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// liar is a broker that breaks one rule and keeps all others.
type liar struct {
	faults []broker.Fault
	only   byte // version of MQTT; 0 is both
	qos    byte // of what is published to it; 0 is 1
	// useless reports that it never grants a subscription, so that the client must use the other
	// address. Otherwise messages may stay at this broker.
	useless bool
	// stays reports that the publisher may stay there as well, because no connection ends.
	stays bool
	// single reports that a message fails separately, at the broker or with the session of a QoS
	// 2 message, and arrives after those that were in flight with it.
	single bool
}

// toClient applies an action to each packet of a type that the broker sends.
func toClient(t mqtttest.PacketType, do broker.Action) []broker.Fault {
	return []broker.Fault{{Direction: broker.ToClient, Type: t, Do: do}}
}

// toBroker applies an action to each packet of a type that a client sends.
func toBroker(t mqtttest.PacketType, do broker.Action) []broker.Fault {
	return []broker.Fault{{Direction: broker.ToBroker, Type: t, Do: do}}
}

// instead replaces a packet with packets that are made from its first field, the id.
func instead(packets func(id uint16, p mqtttest.Packet) [][]byte) broker.Action {
	return broker.Rewrite(func(p mqtttest.Packet) [][]byte {
		return packets(binary.BigEndian.Uint16(p.Body), p)
	})
}

// ack returns an acknowledgement with an MQTT 5 reason code.
func ack(t mqtttest.PacketType, id uint16, code ...byte) []byte {
	first := byte(t) << 4
	if t == mqtttest.TypePubrel {
		first |= 2
	}
	return mqtttest.PacketOf(first, mqtttest.Uint16Field(id), code)
}

// announce adds properties to CONNACK.
func announce(properties ...byte) []broker.Fault {
	return toClient(mqtttest.TypeConnack, broker.Rewrite(func(p mqtttest.Packet) [][]byte {
		return [][]byte{mqtttest.PacketOf(p.First, p.Body[:2], []byte{byte(len(properties))}, properties)}
	}))
}

// endings end each session at one of its stages.
func endings() map[string]liar {
	const end = 0x8B // server shutting down
	return map[string]liar{
		"ends before CONNACK":          {faults: toBroker(mqtttest.TypeConnect, broker.CutBefore()), useless: true},
		"ends within CONNACK":          {faults: toClient(mqtttest.TypeConnack, broker.CutWithin()), useless: true},
		"ends after CONNACK":           {faults: toClient(mqtttest.TypeConnack, broker.CutAfter()), useless: true},
		"ends instead of SUBACK":       {faults: toBroker(mqtttest.TypeSubscribe, broker.CutBefore()), useless: true},
		"DISCONNECT instead of SUBACK": {faults: toBroker(mqtttest.TypeSubscribe, broker.End(end)), useless: true},
		"ends within SUBACK":           {faults: toClient(mqtttest.TypeSuback, broker.CutWithin()), useless: true},
		"ends after SUBACK":            {faults: toClient(mqtttest.TypeSuback, broker.CutAfter())},
		"ends before its PUBLISH":      {faults: toClient(mqtttest.TypePublish, broker.CutBefore())},
		"ends within its PUBLISH":      {faults: toClient(mqtttest.TypePublish, broker.CutWithin())},
		"ends after its PUBLISH":       {faults: toClient(mqtttest.TypePublish, broker.CutAfter())},
		"ends at our PUBACK":           {faults: toBroker(mqtttest.TypePuback, broker.CutBefore())},
		"ends at our PUBLISH":          {faults: toBroker(mqtttest.TypePublish, broker.CutBefore())},
		"DISCONNECT at our PUBLISH":    {faults: toBroker(mqtttest.TypePublish, broker.End(end))},
		"ends before PUBACK":           {faults: toClient(mqtttest.TypePuback, broker.CutBefore())},
		"ends within PUBACK":           {faults: toClient(mqtttest.TypePuback, broker.CutWithin())},
		"acknowledges, and ends":       {faults: toClient(mqtttest.TypePuback, broker.CutAfter())},
		"ends before PUBREC":           {faults: toClient(mqtttest.TypePubrec, broker.CutBefore()), qos: 2, single: true},
		"ends after PUBREC":            {faults: toClient(mqtttest.TypePubrec, broker.CutAfter()), qos: 2, single: true},
		"ends at our PUBREL":           {faults: toBroker(mqtttest.TypePubrel, broker.CutBefore()), qos: 2, single: true},
		"ends before PUBCOMP":          {faults: toClient(mqtttest.TypePubcomp, broker.CutBefore()), qos: 2, single: true},
	}
}

// lies are acknowledgements that refer to nothing, or that violate the standard.
func lies() map[string]liar {
	puback, pubrec, pubcomp := mqtttest.TypePuback, mqtttest.TypePubrec, mqtttest.TypePubcomp
	one := func(b []byte) [][]byte { return [][]byte{b} }
	return map[string]liar{
		"PUBACK for an id never sent":   {faults: toClient(puback, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(puback, id-999)) })), stays: true},
		"PUBACK for one of the library": {faults: toClient(puback, instead(func(uint16, mqtttest.Packet) [][]byte { return one(ack(puback, 1)) })), stays: true},
		"PUBACK for id 0":               {faults: toClient(puback, instead(func(uint16, mqtttest.Packet) [][]byte { return one(ack(puback, 0)) }))},
		"PUBACK with an unknown code":   {faults: toClient(puback, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(puback, id, 0x42, 0)) })), only: 5},
		"PUBACK that refuses":           {faults: toBroker(mqtttest.TypePublish, broker.Refuse(0x80)), only: 5, stays: true, single: true},
		"PUBACK: not authorized":        {faults: toBroker(mqtttest.TypePublish, broker.Refuse(0x87)), only: 5, stays: true, single: true},
		"PUBACK: topic name invalid":    {faults: toBroker(mqtttest.TypePublish, broker.Refuse(0x90)), only: 5, stays: true, single: true},
		"PUBACK: packet too large":      {faults: toClient(puback, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(puback, id, 0x95, 0)) })), only: 5, stays: true, single: true},
		"PUBREC for QoS 1":              {faults: toClient(puback, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(pubrec, id)) })), stays: true},
		"PUBCOMP for QoS 1":             {faults: toClient(puback, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(pubcomp, id)) })), stays: true},
		"PUBACK for QoS 2":              {faults: toClient(pubrec, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(puback, id)) })), qos: 2, stays: true, single: true, only: 5},
		"PUBCOMP without PUBREC":        {faults: toClient(pubrec, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(pubcomp, id)) })), qos: 2, stays: true, single: true},
		"PUBREC twice":                  {faults: toClient(pubrec, broker.Replay()), qos: 2, stays: true, single: true},
		"PUBCOMP twice":                 {faults: toClient(pubcomp, broker.Replay()), qos: 2, stays: true, single: true},
		"PUBACK twice":                  {faults: toClient(puback, broker.Replay()), stays: true},
		"PUBREC, then refused":          {faults: toClient(pubcomp, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(pubcomp, id, 0x92, 0)) })), only: 5, qos: 2, stays: true, single: true},
		"PUBREL for an id never sent":   {faults: toClient(puback, instead(func(id uint16, _ mqtttest.Packet) [][]byte { return one(ack(mqtttest.TypePubrel, id)) })), stays: true},
		"no acknowledgement":            {faults: toClient(puback, broker.Drop()), stays: true},
		"SUBACK of another id": {faults: toClient(mqtttest.TypeSuback, broker.Rewrite(func(p mqtttest.Packet) [][]byte {
			return one(mqtttest.PacketOf(p.First, mqtttest.Uint16Field(p.ID()+1), p.Body[2:]))
		})), useless: true},
		"SUBACK of one of our ids": {faults: toClient(mqtttest.TypeSuback, broker.Rewrite(func(p mqtttest.Packet) [][]byte {
			return one(mqtttest.PacketOf(p.First, mqtttest.Uint16Field(0xFFF0), p.Body[2:]))
		})), useless: true},
		"SUBACK without a code": {faults: toClient(mqtttest.TypeSuback, broker.Rewrite(func(p mqtttest.Packet) [][]byte {
			return one(mqtttest.PacketOf(p.First, p.Body[:len(p.Body)-1]))
		})), useless: true},
		"SUBACK with 60,000 codes": {faults: toClient(mqtttest.TypeSuback, broker.Rewrite(func(p mqtttest.Packet) [][]byte {
			return one(mqtttest.PacketOf(p.First, p.Body, []byte(strings.Repeat("\x01", 60_000))))
		})), useless: true},
		"no SUBACK":               {faults: toClient(mqtttest.TypeSuback, broker.Drop()), stays: true},
		"a session that is none":  {faults: toClient(mqtttest.TypeConnack, broker.Rewrite(func(p mqtttest.Packet) [][]byte { return one(mqtttest.PacketOf(p.First, []byte{1}, p.Body[1:])) })), stays: true},
		"a second CONNACK":        {faults: toClient(mqtttest.TypeSuback, broker.Rewrite(func(p mqtttest.Packet) [][]byte { return [][]byte{mqtttest.ConnackPacket(4, false, 0), p.Encode()} })), only: 4, useless: true},
		"a second CONNACK of 5":   {faults: toClient(mqtttest.TypeSuback, broker.Rewrite(func(p mqtttest.Packet) [][]byte { return [][]byte{mqtttest.ConnackPacket(5, false, 0), p.Encode()} })), only: 5, useless: true},
		"acknowledges a PINGREQ":  {faults: toClient(mqtttest.TypePuback, broker.Rewrite(func(mqtttest.Packet) [][]byte { return one([]byte{0xD0, 0}) })), stays: true},
		"a PUBACK of 256 MiB":     {faults: toClient(mqtttest.TypePuback, broker.Malformed([]byte{0x40, 0xff, 0xff, 0xff, 0x7f, 0, 1}))},
		"an empty PUBACK":         {faults: toClient(mqtttest.TypePuback, broker.Malformed([]byte{0x40, 0}))},
		"a length of five bytes":  {faults: toClient(mqtttest.TypePuback, broker.Malformed([]byte{0x40, 0xff, 0xff, 0xff, 0xff, 1}))},
		"a CONNECT to the client": {faults: toClient(mqtttest.TypePuback, broker.Malformed(mqtttest.ConnectPacket(4, "x", true)))},
	}
}

// announcements declare in CONNACK that the broker accepts almost nothing.
func announcements() map[string]liar {
	return map[string]liar{
		"Maximum Packet Size 1":        {faults: announce(0x27, 0, 0, 0, 1), only: 5},
		"Maximum Packet Size 30":       {faults: announce(0x27, 0, 0, 0, 30), only: 5},
		"Maximum Packet Size 0":        {faults: announce(0x27, 0, 0, 0, 0), only: 5, useless: true},
		"Maximum QoS 0":                {faults: announce(0x24, 0), only: 5},
		"Maximum QoS 7":                {faults: announce(0x24, 7), only: 5, useless: true},
		"Receive Maximum 0":            {faults: announce(0x21, 0, 0), only: 5, useless: true},
		"Receive Maximum 1":            {faults: announce(0x21, 0, 1), only: 5, stays: true},
		"Topic Alias Maximum 65,535":   {faults: announce(0x22, 0xff, 0xff), only: 5, stays: true},
		"Session Expiry 0":             {faults: announce(0x11, 0, 0, 0, 0), only: 5, stays: true},
		"no wildcards":                 {faults: announce(0x28, 0), only: 5, stays: true},
		"no subscription identifiers":  {faults: announce(0x29, 0), only: 5, stays: true},
		"Server Keep Alive 1":          {faults: announce(0x13, 0, 1), only: 5, stays: true},
		"an authentication method":     {faults: announce(0x15, 0, 1, 'x'), only: 5, stays: true},
		"another client id":            {faults: announce(0x12, 0, 1, 'x'), only: 5, stays: true},
		"a property that is none":      {faults: announce(0x7F, 0), only: 5, useless: true},
		"server unavailable":           {faults: toBroker(mqtttest.TypeConnect, broker.Refuse(0x88)), useless: true},
		"banned":                       {faults: toBroker(mqtttest.TypeConnect, broker.Refuse(0x8A)), useless: true},
		"silence instead of a CONNACK": {faults: toBroker(mqtttest.TypeConnect, broker.Drop()), useless: true},
	}
}
