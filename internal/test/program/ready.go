package program

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Answers returns nil if the port answers an MQTT 3.1.1 CONNECT with any CONNACK, even one
// that refuses.
func Answers(port int) error {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	connect := []byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 30, 0, 0}
	if _, err := c.Write(connect); err != nil {
		return err
	}
	var connack [4]byte
	if _, err := io.ReadFull(c, connack[:]); err != nil {
		return err
	}
	if connack[0] != 0x20 {
		return errors.New("answer to CONNECT is not CONNACK")
	}
	return nil
}

// Accepts returns nil if the port accepts a connection.
func Accepts(port int) error {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

// Ready checks a port of a process, and ends [Poll] if the process has ended.
func Ready(p *Process, port int, ask func(port int) error) error {
	if err := p.Alive(); err != nil {
		return StopPollingError{Err: err}
	}
	return ask(port)
}
