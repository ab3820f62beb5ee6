package contender

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/null"
)

var errHandshake = errors.New("no CONNACK")

// Raw publishes prepared frames on a socket: this is the limit of loopback and broker for
// a client that does nothing else. It keeps to the [Window] of the other clients: it has
// that many packet identifiers and reuses each only after its PUBACK. All frames that fit
// into the window are sent in one write.
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
	if _, err := io.ReadFull(nc, ack[:]); err != nil {
		return err
	}
	if ack[0] != 0x20 || ack[3] != 0 {
		return errHandshake
	}
	return nil
}

// pipeline writes as many frames as the window allows, whenever acknowledgements arrive.
func (r *raw) pipeline(w *Work) error {
	var frames []byte // all frames of the window, one after the other
	for id := range uint16(Window) {
		frames, _, _ = null.AppendPublish(frames, 4, 1, w.Topic, id+1, w.Payload)
	}
	size := len(frames) / Window // an identifier always takes two bytes
	acked := make(chan int, Window)
	ended := make(chan error, 1)
	go func() {
		ended <- r.count(w, acked)
		close(acked)
	}()
	next, room, sent := 0, Window, int64(0)
	for !w.Stopped.Load() {
		n := min(room, Window-next) // at most to the end of the prepared frames
		if n > 0 {
			if _, err := r.nc.Write(frames[next*size : (next+n)*size]); err != nil {
				return err
			}
			next, room, sent = (next+n)%Window, room-n, sent+int64(n)
		}
		if room > 0 && n > 0 {
			continue
		}
		k, ok := <-acked
		if !ok {
			return <-ended
		}
		room += k
	}
	return w.settle(sent)
}

// count reports how many PUBACKs arrive, until the connection ends. They must arrive in
// the order of the frames, otherwise the window would be wrong.
func (r *raw) count(w *Work, acked chan<- int) error {
	buf := make([]byte, 64<<10)
	have, due := 0, uint16(1)
	for {
		n, err := r.nc.Read(buf[have:])
		if err != nil {
			return err
		}
		have += n
		acks := have / 4 // a PUBACK has four bytes
		for i := range acks {
			p := buf[4*i:]
			if id := binary.BigEndian.Uint16(p[2:]); p[0] != 0x40 || id != due {
				return fmt.Errorf("packet %#x for %d, want the PUBACK of %d", p[0], id, due)
			}
			due = due%Window + 1
		}
		have = copy(buf, buf[4*acks:have])
		w.Done.Add(int64(acks))
		if acks > 0 {
			acked <- acks // never blocks: the channel has room for everything in flight
		}
	}
}
