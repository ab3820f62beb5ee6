package link

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

type Receiver interface {
	Connack(first byte, body []byte) error
	Frame(first byte, body []byte) error
	Batch()
	Writable()
	Closed(err error)
}

type Options struct {
	Version       wire.Version
	MaxPacketSize int
	WriteTimeout  time.Duration
	QueueLimit    int
}

type Conn struct {
	net.Conn
	sync.Mutex
	r    Receiver
	o    Options
	buf  []byte
	pass []byte

	wmu      sync.Mutex
	asm      []byte
	ctl, dat []byte
	writing  bool
	full     bool
	err      error
	kick     chan struct{}
	stop     chan struct{}
	once     sync.Once
}

func New(nc net.Conn, r Receiver, o Options) *Conn {
	if o.QueueLimit == 0 {
		o.QueueLimit = 128 << 10
	}
	if o.MaxPacketSize == 0 {
		o.MaxPacketSize = 1 << 20
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	c := &Conn{Conn: nc, r: r, o: o, kick: make(chan struct{}, 1), stop: make(chan struct{})}
	go c.flusher()
	return c
}

func (c *Conn) Read(p []byte) (int, error) {
	for len(c.pass) == 0 {
		h, ok, err := wire.ParseHeader(c.buf)
		if err != nil {
			return 0, c.fail(err)
		}
		if ok && h.Remaining > c.o.MaxPacketSize {
			return 0, c.fail(errors.New("packet too large"))
		}
		if !ok || len(c.buf) < h.Total() {
			c.r.Batch()
			tmp := make([]byte, 16<<10)
			n, err := c.Conn.Read(tmp)
			c.buf = append(c.buf, tmp[:n]...)
			if err != nil && n == 0 {
				return 0, c.fail(err)
			}
			continue
		}
		frame := c.buf[:h.Total()]
		switch t := h.Type(); {
		case t.Data():
			if err := c.r.Frame(h.First, frame[h.Size:]); err != nil {
				return 0, c.fail(err)
			}
		default:
			if t == wire.TypeConnack {
				if err := c.r.Connack(h.First, frame[h.Size:]); err != nil {
					return 0, c.fail(err)
				}
			}
			c.pass = append([]byte(nil), frame...)
		}
		c.buf = append(c.buf[:0:0], c.buf[h.Total():]...)
	}
	n := copy(p, c.pass)
	c.pass = c.pass[n:]
	return n, nil
}

func (c *Conn) fail(err error) error {
	c.once.Do(func() {
		c.wmu.Lock()
		c.err = err
		c.wmu.Unlock()
		close(c.stop)
		c.Conn.Close()
		c.r.Closed(err)
	})
	return err
}

func (c *Conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	c.asm = append(c.asm, p...)
	for {
		h, ok, err := wire.ParseHeader(c.asm)
		if err != nil || !ok || len(c.asm) < h.Total() {
			break
		}
		c.ctl = append(c.ctl, c.asm[:h.Total()]...)
		c.asm = c.asm[h.Total():]
	}
	err := c.err
	c.wmu.Unlock()
	c.Flush()
	return len(p), err
}

func (c *Conn) Queue(f []byte) (bool, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.err != nil {
		return false, c.err
	}
	if len(c.dat) > 0 && len(c.dat)+len(f) > c.o.QueueLimit {
		c.full = true
		return false, nil
	}
	c.dat = append(c.dat, f...)
	return true, nil
}

func (c *Conn) QueueAck(f []byte) {
	c.wmu.Lock()
	c.dat = append(c.dat, f...)
	c.wmu.Unlock()
}

func (c *Conn) Flush() { c.pass1() }

func (c *Conn) pass1() bool {
	c.wmu.Lock()
	if c.writing || c.err != nil || len(c.ctl)+len(c.dat) == 0 {
		c.wmu.Unlock()
		return false
	}
	c.writing = true
	out := append(c.ctl, c.dat...)
	c.ctl, c.dat = nil, nil
	full := c.full
	c.full = false
	c.wmu.Unlock()
	c.Conn.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
	_, err := c.Conn.Write(out)
	c.wmu.Lock()
	c.writing = false
	more := len(c.ctl)+len(c.dat) > 0
	c.wmu.Unlock()
	if err != nil {
		c.fail(err)
		return false
	}
	if full {
		c.r.Writable()
	}
	if more {
		c.Wake()
	}
	return true
}

func (c *Conn) Wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

func (c *Conn) flusher() {
	for {
		select {
		case <-c.kick:
			c.pass1()
		case <-c.stop:
			return
		}
	}
}

func (c *Conn) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

func (c *Conn) Close() error {
	c.pass1()
	c.fail(net.ErrClosed)
	return nil
}
