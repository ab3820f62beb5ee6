package faultmatrix_test

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// device is a raw client that may send anything. It never waits for an answer of the
// broker.
type device struct {
	h    *harness
	name string // client id, user and password
	conn net.Conn
	// puback is called for each acknowledgement of the broker, with the id at the end of
	// the payload; nil ignores them.
	puback func(id string, code byte)

	mu       sync.Mutex
	last     uint16
	waiting  map[uint16]string
	acked    int
	received func(arrival)
}

// device connects a device, which is disconnected at the end of the row.
func (n *neighbours) device(name string, puback func(id string, code byte)) *device {
	n.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.broker.URL(), "mqtt://"))
	if err != nil {
		n.Fatal(err)
	}
	d := &device{h: n.harness, name: name, conn: conn, puback: puback, waiting: make(map[uint16]string)}
	in := bufio.NewReaderSize(conn, 1<<10)
	_ = conn.SetDeadline(time.Now().Add(patience))
	d.write(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{n.level(), 0xC2, 0, 0}, n.noProperties(),
		mqtttest.StringField(name), mqtttest.StringField(name), mqtttest.StringField(name)))
	if p, err := mqtttest.ReadPacket(in); err != nil || p.Type() != mqtttest.TypeConnack || p.Body[1] != 0 {
		n.Fatalf("device %s: %v %v", name, p, err)
	}
	_ = conn.SetDeadline(time.Time{})
	ended := make(chan struct{})
	go func() { defer close(ended); d.read(in) }()
	n.Cleanup(func() { _ = conn.Close(); <-ended })
	return d
}

func (d *device) read(in *bufio.Reader) {
	for {
		p, err := mqtttest.ReadPacket(in)
		if err != nil {
			return
		}
		switch p.Type() {
		case mqtttest.TypePuback:
			code := byte(0)
			if len(p.Body) > 2 {
				code = p.Body[2]
			}
			d.answered(binary.BigEndian.Uint16(p.Body), code)
		case mqtttest.TypePublish:
			d.arrived(p)
		}
	}
}

func (d *device) answered(packet uint16, code byte) {
	d.mu.Lock()
	id := d.waiting[packet]
	delete(d.waiting, packet)
	d.acked++
	d.mu.Unlock()
	if d.puback != nil {
		d.puback(id, code)
	}
}

// acknowledged returns how many of its messages the broker has acknowledged.
func (d *device) acknowledged() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acked
}

// arrived acknowledges a message and passes it to the receivers.
func (d *device) arrived(p mqtttest.Packet) {
	if p.QoS() > 0 {
		d.write(mqtttest.AckPacket(mqtttest.TypePuback, p.ID()))
	}
	d.mu.Lock()
	received := d.received
	d.mu.Unlock()
	if received == nil {
		return
	}
	a := arrival{topic: p.Topic(), payload: p.Payload()}
	if d.h.five() {
		a.properties, a.payload = splitProperties(a.payload)
	}
	received(a)
}

// arrival is a message that a device receives.
type arrival struct {
	topic               string
	properties, payload []byte
}

// subscribe subscribes to a filter; received is called for each message.
func (d *device) subscribe(filter string, received func(arrival)) {
	d.mu.Lock()
	d.received = received
	d.mu.Unlock()
	d.write(mqtttest.SubscribePacket(d.h.level(), 0xFFFF, filter, 1))
}

// write sends bytes. After the broker has closed the connection it does nothing.
func (d *device) write(packet []byte) {
	_ = d.conn.SetWriteDeadline(time.Now().Add(patience))
	_, _ = d.conn.Write(packet)
}

// writeOver sends the same bytes a number of times, spread over some time.
func (d *device) writeOver(over time.Duration, times int, packet []byte) {
	pace := time.NewTicker(max(time.Microsecond, over/time.Duration(times)))
	defer pace.Stop()
	for range times {
		d.write(packet)
		<-pace.C
	}
}

// wire is a message as a device sends it. On MQTT 3.1.1 headers are possible in a
// CloudEvent only.
type wire struct {
	topic           string
	id              string // id that its acknowledgement is reported with; "" means the end of the payload
	atMostOnce      bool   // QoS 0
	retain          bool
	headers         [][2]string
	contentType     string
	response        string
	correlation     string
	payload         []byte
	propertiesBytes []byte // replaces the properties from the fields above
}

// publish sends a message.
func (d *device) publish(m wire) {
	var packet uint16
	if !m.atMostOnce {
		d.mu.Lock()
		d.last = d.last%0xFFF0 + 1
		packet = d.last
		d.waiting[packet] = cmp.Or(m.id, idOf(m.payload))
		d.mu.Unlock()
	}
	d.write(d.h.encode(m, packet))
}

// encode returns the packet of a message.
func (h *harness) encode(m wire, packet uint16) []byte {
	first, ident, payload := byte(0x30), []byte(nil), m.payload
	if m.retain {
		first |= 1
	}
	if !m.atMostOnce {
		first |= 2
		ident = mqtttest.Uint16Field(packet)
	}
	var properties []byte
	if h.five() {
		list := m.propertiesBytes
		if list == nil {
			list = m.properties()
		}
		properties = append(variableInteger(len(list)), list...)
	} else if len(m.headers) > 0 {
		payload = m.cloudEvent()
	}
	return mqtttest.PacketOf(first, mqtttest.StringField(m.topic), ident, properties, payload)
}

// properties returns the MQTT 5 properties.
func (m wire) properties() (list []byte) {
	for _, p := range []struct {
		id   byte
		text string
	}{{0x03, m.contentType}, {0x08, m.response}, {0x09, m.correlation}} {
		if p.text != "" {
			list = append(append(list, p.id), mqtttest.StringField(p.text)...)
		}
	}
	for _, kv := range m.headers {
		list = append(append(append(list, 0x26), mqtttest.StringField(kv[0])...), mqtttest.StringField(kv[1])...)
	}
	return list
}

// cloudEvent returns the message as a structured event, with its headers as attributes.
func (m wire) cloudEvent() []byte {
	attributes := map[string]any{
		"specversion": "1.0", "id": idOf(m.payload), "source": "/" + m.topic, "type": "note", "data_base64": m.payload,
	}
	for _, kv := range m.headers {
		attributes[kv[0]] = kv[1]
	}
	text, _ := json.Marshal(attributes) // never fails for strings
	return text
}

// variableInteger encodes a length [MQTT-1.5.5].
func variableInteger(n int) (b []byte) {
	for {
		digit := byte(n % 0x80)
		if n /= 0x80; n > 0 {
			digit |= 0x80
		}
		if b = append(b, digit); n == 0 {
			return b
		}
	}
}

// splitProperties splits what follows the variable header of MQTT 5.
func splitProperties(b []byte) (list, payload []byte) {
	n, shift := 0, 0
	for i, digit := range b {
		n |= int(digit&0x7F) << shift
		if shift += 7; digit < 0x80 {
			b = b[i+1:]
			break
		}
	}
	n = min(n, len(b))
	return b[:n], b[n:]
}
