package doctor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// conn is a connection to the broker. It is read only while something is awaited, by the one
// goroutine that uses it.
type conn struct {
	nc       net.Conn
	in       *bufio.Reader
	stop     func() bool // ends the watch over the context
	version  wire.Version
	wait     time.Duration
	limit    int
	messages int
	held     int // bytes of the messages that arrived
	welcomed bool
	welcome  wire.Connack
	lastID   uint16
	outcomes map[uint16]byte // of publishes, by packet identifier
	answers  map[uint16]byte // of SUBACK and PUBREC
	aliases  map[uint16]string
	aliased  bool // the broker used a topic alias
	silent   bool // acknowledges nothing
	arrived  []message
}

// maxMessage is the size of a message other than that of the check of payloads, in bytes.
const maxMessage = 2 << 10

// message is what arrived.
type message struct {
	topic          string
	payload        []byte
	qos            byte
	retain         bool
	contentType    string
	responseTopic  string
	headers        [][2]string
	hasCorrelation bool
}

// closedError means that the broker ended the connection; code is that of its DISCONNECT, 0 if
// there was none.
type closedError struct{ code byte }

// Error returns what the broker said.
func (e *closedError) Error() string {
	if e.code == 0 {
		return "the broker closed the connection"
	}
	return "the broker closed the connection with " + codeText(wire.TypeDisconnect, wire.V5, e.code)
}

// send writes packets.
func (c *conn) send(packet []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.wait)); err != nil {
		return &closedError{}
	}
	_, err := c.nc.Write(packet)
	return ended(err)
}

// ended returns a *closedError for a connection that is gone, and other errors unchanged.
func ended(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return &closedError{}
}

// until reads packets until done returns true. The error wraps os.ErrDeadlineExceeded if that
// takes longer than wait.
func (c *conn) until(wait time.Duration, done func() bool) error {
	deadline := time.Now().Add(wait)
	for !done() {
		if err := c.nc.SetReadDeadline(deadline); err != nil {
			return &closedError{}
		}
		if err := c.next(); err != nil {
			return err
		}
	}
	return nil
}

// settle reads until nothing has arrived for a time, or at least want messages have.
func (c *conn) settle(quiet time.Duration, want int) error {
	for len(c.arrived) < want {
		before := len(c.arrived)
		err := c.until(quiet, func() bool { return len(c.arrived) > before })
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next reads one packet.
func (c *conn) next() error {
	var head []byte
	var h wire.Header
	for n := 2; ; n++ {
		var err error
		if head, err = c.in.Peek(n); err != nil {
			return ended(err)
		}
		var ok bool
		if h, ok, err = wire.ParseHeader(head); err != nil {
			return err
		} else if ok {
			break
		}
	}
	if h.Remaining > c.limit {
		return fmt.Errorf("the broker sent a packet of %d bytes", h.Remaining)
	}
	if err := h.Validate(); err != nil {
		return err
	}
	_, _ = c.in.Discard(h.Size) // was peeked
	var body bytes.Buffer
	if _, err := io.CopyN(&body, c.in, int64(h.Remaining)); err != nil {
		return ended(err)
	}
	return c.handle(h, body.Bytes())
}

func (c *conn) handle(h wire.Header, body []byte) error {
	switch t := h.Type(); t {
	case wire.TypeConnack:
		c.welcomed = true
		return c.welcome.Decode(c.version, body)
	case wire.TypePublish:
		return c.publish(h.First, body)
	case wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp:
		return c.acknowledged(h.First, body)
	case wire.TypeSuback:
		id, code, err := suback(c.version, body)
		c.answers[id] = code
		return err
	case wire.TypeDisconnect:
		var d wire.Disconnect
		if err := d.Decode(c.version, body); err != nil {
			return err
		}
		return &closedError{code: d.Reason}
	}
	return nil
}

// publish stores a message and acknowledges it.
func (c *conn) publish(first byte, body []byte) error {
	var p wire.Publish
	if err := p.Decode(c.version, first, body); err != nil {
		return err
	}
	m := message{
		topic: string(p.Topic), payload: p.Payload, qos: p.QoS, retain: p.Retain,
		contentType: string(p.Props.ContentType), responseTopic: string(p.Props.ResponseTopic), hasCorrelation: p.Props.CorrelationData != nil,
	}
	if alias := p.Props.TopicAlias; alias != 0 {
		c.aliased = true
		if m.topic == "" {
			m.topic = c.aliases[alias]
		}
		c.aliases[alias] = m.topic
	}
	for name, value := range p.Props.UserPairs() {
		m.headers = append(m.headers, [2]string{string(name), string(value)})
	}
	if c.held += len(body); len(c.arrived) >= c.messages || c.held > c.limit+c.messages*maxMessage {
		return errors.New("the broker sends more messages than it was sent")
	}
	c.arrived = append(c.arrived, m)
	if p.QoS == 0 || c.silent {
		return nil
	}
	t := wire.TypePuback
	if p.QoS == 2 {
		t = wire.TypePubrec
	}
	return c.send(wire.AppendAck(nil, c.version, t, p.PacketID, 0))
}

// acknowledged goes on with an exchange.
func (c *conn) acknowledged(first byte, body []byte) error {
	var a wire.Ack
	if err := a.Decode(c.version, first, body); err != nil {
		return err
	}
	switch {
	case a.Type == wire.TypePubrel:
		return c.send(wire.AppendAck(nil, c.version, wire.TypePubcomp, a.PacketID, 0))
	case a.Type == wire.TypePubrec && a.Reason < wire.ReasonError:
		c.answers[a.PacketID] = a.Reason // the code of PUBCOMP is another
		return c.send(wire.AppendAck(nil, c.version, wire.TypePubrel, a.PacketID, 0))
	case a.Type == wire.TypePubcomp:
		c.outcomes[a.PacketID] = c.answers[a.PacketID]
	default:
		c.outcomes[a.PacketID] = a.Reason
	}
	return nil
}

func (c *conn) id() uint16 {
	if c.lastID++; c.lastID == 0 {
		c.lastID = 1
	}
	return c.lastID
}

// subscribe returns the reason code of SUBACK.
func (c *conn) subscribe(filter string, qos byte) (code byte, err error) {
	id := c.id()
	delete(c.answers, id)
	if err := c.send(subscribePacket(c.version, id, filter, qos)); err != nil {
		return 0, err
	}
	err = c.until(c.wait, func() bool { _, ok := c.answers[id]; return ok })
	return c.answers[id], err
}

// put sends a message without waiting for its acknowledgement.
func (c *conn) put(topic string, payload []byte, qos byte, change func(*wire.Publish)) (id uint16, err error) {
	p := wire.Publish{Topic: []byte(topic), Payload: payload, QoS: qos}
	if qos > 0 {
		id = c.id()
		p.PacketID = id
		delete(c.outcomes, id)
	}
	if change != nil {
		change(&p)
	}
	frame, err := p.Append(nil, c.version)
	if err != nil {
		return 0, err
	}
	return id, c.send(frame)
}

// say publishes a message and waits for its acknowledgement, whose reason code it returns.
func (c *conn) say(topic string, payload []byte, qos byte, change func(*wire.Publish)) (code byte, err error) {
	id, err := c.put(topic, payload, qos, change)
	if err != nil || qos == 0 {
		return 0, err
	}
	err = c.until(c.wait, func() bool { _, ok := c.outcomes[id]; return ok })
	return c.outcomes[id], err
}

// of returns the messages that arrived on a topic.
func (c *conn) of(topic string) (found []message) {
	for _, m := range c.arrived {
		if m.topic == topic {
			found = append(found, m)
		}
	}
	return found
}

// close ends the connection with a DISCONNECT.
func (c *conn) close() {
	if c == nil {
		return
	}
	_ = c.send([]byte{byte(wire.TypeDisconnect) << 4, 0})
	c.abort()
}

// abort ends the connection without a DISCONNECT.
func (c *conn) abort() {
	c.stop()
	_ = c.nc.Close()
}
