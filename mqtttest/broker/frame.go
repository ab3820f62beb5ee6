package broker

import (
	"errors"
	"io"
)

const readBuffer = 64 << 10

var (
	errHeader = errors.New("remaining length of more bytes than four or than needed")
	errLarge  = errors.New("packet larger than allowed")
)

// frames splits a stream into packets. Its memory grows with the received bytes, not with the
// length that a header claims.
type frames struct {
	r     io.Reader
	max   int // largest remaining length
	buf   []byte
	start int // of what is not taken yet
	end   int
}

// next returns the next packet. It is valid until the next call.
func (f *frames) next() (Packet, error) {
	for {
		p, err := f.take()
		if err != nil || p.First != 0 {
			return p, err
		}
		if err := f.fill(); err != nil {
			return Packet{}, err
		}
	}
}

// take removes a packet from the buffer. It returns the zero packet if more bytes are needed.
func (f *frames) take() (Packet, error) {
	b := f.buf[f.start:f.end]
	size := 0
	for i := 1; i < len(b); i++ {
		size |= int(b[i]&0x7F) << (7 * (i - 1))
		if b[i]&0x80 == 0 {
			if b[i] == 0 && i > 1 { // [MQTT-1.5.5-1]
				return Packet{}, errHeader
			}
			if b[0] < 0x10 {
				return Packet{}, malformed("packet type 0")
			}
			if size > f.max {
				return Packet{}, errLarge
			}
			if len(b) < 1+i+size {
				return Packet{}, nil
			}
			f.start += 1 + i + size
			return Packet{First: b[0], Body: b[1+i : 1+i+size : 1+i+size]}, nil
		}
		if i == 4 {
			return Packet{}, errHeader
		}
	}
	return Packet{}, nil
}

func (f *frames) fill() error {
	if f.start == f.end {
		f.start, f.end = 0, 0
		if cap(f.buf) > 4*readBuffer {
			f.buf = nil
		}
	}
	if f.buf == nil {
		f.buf = make([]byte, readBuffer)
	}
	if f.end == len(f.buf) {
		if f.start > 0 {
			f.end = copy(f.buf, f.buf[f.start:f.end])
			f.start = 0
		} else {
			f.buf = append(f.buf, make([]byte, len(f.buf))...)
		}
	}
	n, err := f.r.Read(f.buf[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	return err
}
