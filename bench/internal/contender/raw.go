package contender

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/null"
)

var errHandshake = errors.New("no CONNACK")

// Raw publishes prepared frames on a socket, half a window in one write, and
// counts the acknowledgements: what loopback and broker allow.
func Raw(t Target) (*Publisher, error) {
	nc, err := net.Dial("tcp", t.Host)
	if err != nil {
		return nil, err
	}
	if err := rawConnect(nc); err != nil {
		_ = nc.Close()
		return nil, err
	}
	r := &raw{nc: nc}
	return &Publisher{Pipeline: r.pipeline, Close: func() { _ = nc.Close() }}, nil
}

type raw struct{ nc net.Conn }

func rawConnect(nc net.Conn) error {
	id := clientID()
	p := append([]byte{0, 4}, "MQTT\x04\x02\x00\x00"...)
	p = append(binary.BigEndian.AppendUint16(p, uint16(len(id))), id...)
	if _, err := nc.Write(append([]byte{0x10, byte(len(p))}, p...)); err != nil {
		return err
	}
	var ack [4]byte
	for have := 0; have < len(ack); {
		n, err := nc.Read(ack[have:])
		if err != nil {
			return err
		}
		have += n
	}
	if ack[0] != 0x20 || ack[3] != 0 {
		return errHandshake
	}
	return nil
}

func (r *raw) pipeline(w *Work) error {
	const half = Window / 2
	var batch []byte
	for id := range uint16(half) {
		batch, _, _ = null.AppendPublish(batch, 4, 1, w.Topic, id+1, w.Payload)
	}
	room := make(chan struct{}, 2) // halves that may be sent
	room <- struct{}{}
	room <- struct{}{}
	go r.count(w, half, room)
	sent := int64(0)
	for !w.Stopped.Load() {
		select {
		case <-room:
		case <-time.After(10 * time.Second):
			return errors.New("no acknowledgements")
		}
		if _, err := r.nc.Write(batch); err != nil {
			return err
		}
		sent += half
	}
	return w.settle(sent)
}

// count ends with the connection.
func (r *raw) count(w *Work, half int, room chan<- struct{}) {
	buf := make([]byte, 64<<10)
	bytes, due := 0, half
	for {
		n, err := r.nc.Read(buf)
		if err != nil {
			return
		}
		before := bytes / 4 // a PUBACK has four bytes
		bytes += n
		acks := bytes/4 - before
		w.Done.Add(int64(acks))
		for due -= acks; due <= 0; due += half {
			room <- struct{}{}
		}
	}
}
