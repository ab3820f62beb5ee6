package embedded

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/mochi-mqtt/server/v2/listeners"
)

var errTooLarge = errors.New("packet larger than the maximum packet size")

// checkedConn hands the broker whole frames that passed the checker, and
// nothing else. Read and settled are called by one goroutine, the client's.
type checkedConn struct {
	*output
	in      *bufio.Reader
	check   checker
	maximum int
	frame   []byte // reused for the next frame
	rest    []byte // what the broker has not read of it yet
	settle  func() // ends a handover; nil without one
}

func newCheckedConn(c net.Conn, maximum uint32) *checkedConn {
	return &checkedConn{output: newOutput(c), in: bufio.NewReaderSize(c, 2048), maximum: int(maximum)}
}

// Read implements net.Conn.
func (c *checkedConn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.rest) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next reads and checks one frame. The size is checked before memory is taken.
func (c *checkedConn) next() error {
	header, size, err := c.header()
	if err != nil {
		return err
	}
	if err := c.check.first(header[0]); err != nil {
		return err
	}
	if len(header)+size > c.maximum {
		return fmt.Errorf("%w: %d bytes", errTooLarge, len(header)+size)
	}
	c.frame = append(c.frame[:0], header...)
	c.frame = append(c.frame, make([]byte, size)...)
	body := c.frame[len(header):]
	if _, err := io.ReadFull(c.in, body); err != nil {
		return err
	}
	if err := c.check.check(header[0], body); err != nil {
		return err
	}
	c.rest = c.frame
	return nil
}

// header reads the fixed header [MQTT-2.1.1] and returns it with the remaining
// length.
func (c *checkedConn) header() ([]byte, int, error) {
	header := make([]byte, 0, 5)
	first, err := c.in.ReadByte()
	if err != nil {
		return nil, 0, err
	}
	header = append(header, first)
	size := 0
	for shift := 0; shift < 28; shift += 7 {
		b, err := c.in.ReadByte()
		if err != nil {
			return nil, 0, err
		}
		header = append(header, b)
		size |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return header, size, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: remaining length of more than four bytes", errMalformed)
}

// serveConn lets the library serve a stream until that ends.
func serveConn(serve listeners.EstablishFn, scheme string, stream net.Conn, maximum uint32) error {
	c := newCheckedConn(stream, maximum)
	go c.run()
	defer c.Close()
	defer c.settled() // wherever the library left it
	return serve(scheme, c)
}

// settled ends the handover that this connection is in, if any.
func (c *checkedConn) settled() {
	if c.settle != nil {
		c.settle()
		c.settle = nil
	}
}
