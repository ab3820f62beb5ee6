package mqtttest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// partingTime is how long the receiver of the last packet before a cut may take to close its
// side.
const partingTime = time.Second

// link is one connection through the proxy: two sockets and, for each
// direction, a reader, a queue and a writer.
type link struct {
	proxy   *Proxy
	id      int
	conns   [2]*net.TCPConn // conns[ToBroker] leads to the broker, conns[ToClient] to the client
	once    sync.Once
	done    chan struct{} // closed when the sockets are
	parting atomic.Bool   // the sender of the last packet is cut off, its receiver may still read
}

// segment is a unit that is forwarded: a packet or, if packets cannot be parsed, bytes.
type segment struct {
	bytes  []byte
	packet Packet // shares its body with bytes
	parsed bool
	due    time.Time // zero: at once
}

// run returns when both directions have ended.
func (l *link) run() {
	var wg sync.WaitGroup
	for _, d := range []Direction{ToBroker, ToClient} {
		q := newQueue()
		wg.Go(func() { q.close(l.read(d, q)) })
		wg.Go(func() { l.write(d, q); q.abort() })
	}
	wg.Wait()
	l.end(func(c *net.TCPConn) { _ = c.Close() })
}

// reset cuts the link with RST in both directions.
func (l *link) reset() { l.end(reset) }

func (l *link) end(how func(*net.TCPConn)) {
	l.once.Do(func() {
		close(l.done)
		for _, c := range l.conns {
			how(c)
		}
	})
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// read puts the data received in a direction into the queue. It returns nil at the orderly end
// of the stream.
func (l *link) read(d Direction, q *queue) error {
	in := bufio.NewReaderSize(l.conns[1-d], 32<<10)
	next := nextPacket
	if l.proxy.raw {
		next = nextBytes
	}
	for {
		if !l.proxy.stall.wait(l.done) {
			return net.ErrClosed
		}
		s, err := next(in)
		if len(s.bytes) > 0 && !s.parsed {
			next = nextBytes // from here on packets are not understood
		}
		if by := l.proxy.delayOf(d); by > 0 {
			s.due = time.Now().Add(by)
		}
		if len(s.bytes) > 0 && !q.put(s) {
			return net.ErrClosed
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// nextPacket reads one packet, or some bytes of one that is truncated or too large to hold.
func nextPacket(in *bufio.Reader) (segment, error) {
	first, size, head, err := readHeader(in)
	if err != nil && !errors.Is(err, errHeader) {
		return segment{bytes: head}, err
	}
	if err != nil || size > maxPacket {
		return segment{bytes: head}, nil //nolint:nilerr // the bytes are passed on as they are: the receiver shall see them
	}
	b := make([]byte, len(head)+size)
	copy(b, head)
	n, err := io.ReadFull(in, b[len(head):])
	if err != nil {
		return segment{bytes: b[:len(head)+n]}, err
	}
	return segment{bytes: b, packet: Packet{First: first, Body: b[len(head):]}, parsed: true}, nil
}

func nextBytes(in *bufio.Reader) (segment, error) {
	b := make([]byte, 16<<10)
	n, err := in.Read(b)
	return segment{bytes: b[:n]}, err
}

// write forwards the data in the queue, after applying the faults.
func (l *link) write(d Direction, q *queue) {
	for {
		batch, err := q.take()
		if len(batch) == 0 {
			l.finish(d, err)
			return
		}
		if !l.forward(d, batch) {
			return
		}
	}
}

// finish forwards the end of the stream, unless that is discarded too.
func (l *link) finish(d Direction, err error) {
	if l.parting.Load() {
		return
	}
	if !l.proxy.stall.wait(l.done) {
		return
	}
	if l.proxy.swallows(d) {
		<-l.done
		return
	}
	if err != nil {
		l.reset()
		return
	}
	_ = l.conns[d].CloseWrite()
}

// forward returns false when the direction has ended.
func (l *link) forward(d Direction, batch []segment) bool {
	var out net.Buffers
	for _, s := range batch {
		if wait := time.Until(s.due); wait > 0 {
			if !l.flush(d, &out) || !l.sleep(wait) {
				return false
			}
		}
		if !l.proxy.stall.wait(l.done) {
			return false
		}
		switch l.fate(d, s) {
		case pass:
			out = append(out, s.bytes)
		case drop:
		case cutAfter:
			out = append(out, s.bytes)
			if l.flush(d, &out) {
				l.part(d)
			}
			return false
		case cutWithin:
			out = append(out, s.bytes[:len(s.bytes)/2])
			if l.flush(d, &out) {
				l.part(d)
			}
			return false
		case cutBefore:
			if l.flush(d, &out) {
				l.part(d)
			}
			return false
		}
	}
	return l.flush(d, &out)
}

// fate decides about a segment and reports packets.
func (l *link) fate(d Direction, s segment) fate {
	var f fate
	switch {
	case l.parting.Load():
		f = drop
	case s.parsed:
		f = l.proxy.decide(d, s.packet.Type())
	case l.proxy.swallows(d):
		f = drop
	}
	if s.parsed {
		l.proxy.observe(Observed{Packet: s.packet, Direction: d, Connection: l.id, Dropped: f == drop || f == cutBefore})
	}
	return f
}

// flush writes the collected data. It ends the link if the receiver is gone.
func (l *link) flush(d Direction, out *net.Buffers) bool {
	if len(*out) == 0 {
		return true
	}
	_, err := out.WriteTo(l.conns[d])
	*out = nil
	if err == nil || l.parting.Load() {
		return true
	}
	l.reset()
	return false
}

// part cuts off the sender of a direction with RST, but lets the receiver read what was sent
// and then see the end: a reset could overtake the last packet.
func (l *link) part(d Direction) {
	l.parting.Store(true)
	_ = l.conns[d].CloseWrite()
	_ = l.conns[d].SetReadDeadline(time.Now().Add(partingTime))
	reset(l.conns[1-d])
}

func (l *link) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.done:
		return false
	}
}
