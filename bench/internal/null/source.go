package null

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	// sourcePrefix is the prefix of the filters of sources.
	sourcePrefix = "source/"
	// sourceWindow bounds the unacknowledged QoS 1 messages of a source; the client's
	// Receive Maximum applies if it is less.
	sourceWindow = 1000
	// batchBytes is about how much a source sends in one write.
	batchBytes = 64 << 10
	// Counted is the kind of payload that begins with an eight-byte sequence number within
	// its topic and the four-byte number of the topic.
	Counted = "counted"
)

// Filter returns the filter of a source that sends payloads of a kind on the given number
// of topics in turn.
func Filter(kind string, topics int) string {
	return fmt.Sprintf("%s%s/%d/plant-7/telemetry/+", sourcePrefix, kind, topics)
}

// source sends prepared frames on one connection.
type source struct {
	conn    *conn
	filter  string
	qos     byte
	frames  []prepared
	counted bool

	acked   atomic.Int64
	wake    chan struct{}
	stopped chan struct{}
}

type prepared struct {
	bytes     []byte
	idAt      int
	payloadAt int
	sequence  uint64
}

func newSource(c *conn, filter string, qos byte) (*source, bool) {
	parts := strings.SplitN(filter, "/", 4)
	if len(parts) < 4 {
		return nil, false
	}
	topics, err := strconv.Atoi(parts[2])
	payload, known := c.broker.payloads[parts[1]]
	if err != nil || topics < 1 || !known {
		return nil, false
	}
	s := &source{
		conn: c, filter: filter, qos: min(qos, 1), counted: parts[1] == Counted,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	for i := range topics {
		topic := strings.Replace(filter, "+", fmt.Sprintf("device-%04d", i), 1)
		var p prepared
		p.bytes, p.idAt, p.payloadAt = AppendPublish(nil, c.version, s.qos, topic, 1, payload)
		if s.counted {
			binary.BigEndian.PutUint32(p.bytes[p.payloadAt+8:], uint32(i))
		}
		s.frames = append(s.frames, p)
	}
	return s, true
}

func (s *source) stop() { close(s.stopped) }

// acknowledged is called by the reader of the connection.
func (s *source) acknowledged(n int) {
	s.acked.Add(int64(n))
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *source) run() {
	most := max(1, batchBytes/len(s.frames[0].bytes))
	buf := make([]byte, 0, batchBytes+len(s.frames[0].bytes))
	var sent int64
	var id uint16
	next := 0
	for {
		n := most
		if s.qos > 0 {
			n = min(n, s.conn.window-int(sent-s.acked.Load()))
		}
		select {
		case <-s.stopped:
			return
		default:
		}
		if n <= 0 {
			select {
			case <-s.wake:
				continue
			case <-s.stopped:
				return
			}
		}
		buf = buf[:0]
		for range n {
			if id++; id == 0 {
				id = 1
			}
			buf = s.frames[next].append(buf, s.qos, id, s.counted)
			if next++; next == len(s.frames) {
				next = 0
			}
		}
		if s.conn.send(buf) != nil {
			return
		}
		sent += int64(n)
	}
}

func (p *prepared) append(dst []byte, qos byte, id uint16, counted bool) []byte {
	at := len(dst)
	dst = append(dst, p.bytes...)
	if qos > 0 {
		binary.BigEndian.PutUint16(dst[at+p.idAt:], id)
	}
	if counted {
		p.sequence++
		binary.BigEndian.PutUint64(dst[at+p.payloadAt:], p.sequence)
	}
	return dst
}
