package link

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// tagged returns a PUBLISH that contains its producer and position.
func tagged(producer, i uint32, size int) []byte {
	body := make([]byte, max(size, 14))
	copy(body, "\x00\x01t\x80\x01")
	binary.BigEndian.PutUint32(body[5:], producer)
	binary.BigEndian.PutUint32(body[9:], i)
	return frame(0x32, body...)
}

// With everything running concurrently, each producer's frames arrive whole and
// in order, and no frame that was queued before Close is missing.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	const producers, each = 6, 300
	rec := newRecorder()
	c, far := pipe(t, rec, Options{})
	var queued, wrote sync.WaitGroup
	for p := range uint32(producers) {
		queued.Go(func() {
			r := rand.New(rand.NewPCG(uint64(p), 3))
			for i := range uint32(each) {
				size := r.IntN(400)
				if r.IntN(30) == 0 {
					size = lendSize + r.IntN(lendSize)
				}
				f := tagged(p, i, size)
				for ok := false; !ok; {
					var err error
					if ok, err = c.Queue(f); err != nil {
						t.Error(err)
						return
					}
					if r.IntN(2) == 0 {
						c.Flush()
					} else {
						c.Wake()
					}
					if !ok {
						select {
						case <-rec.writable:
						case <-time.After(time.Millisecond): // another producer received the signal
						}
					}
				}
				c.QueueAck(ack(wire.TypePuback, uint16(i+1)))
			}
		})
	}
	stop := make(chan struct{})
	wrote.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.Lock()
				_, _ = c.Write(pingreq[:1])
				_, _ = c.Write(pingreq[1:])
				c.Unlock()
			}
		}
	})
	got := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(far); got <- b }()
	queued.Wait()
	close(stop)
	wrote.Wait()
	var ends sync.WaitGroup
	for range 3 {
		ends.Go(func() { _ = c.Close() })
	}
	ends.Wait()
	checkTagged(t, <-got, producers, each)
}

func checkTagged(t *testing.T, stream []byte, producers, each uint32) {
	t.Helper()
	next := make([]uint32, producers)
	acks := uint32(0)
	for len(stream) > 0 {
		h, ok, err := wire.ParseHeader(stream)
		if !ok || err != nil || h.Total() > len(stream) {
			t.Fatalf("torn at %x: %v", stream[:min(20, len(stream))], err)
		}
		body := stream[h.Size:h.Total()]
		switch h.Type() {
		case wire.TypePublish:
			p, i := binary.BigEndian.Uint32(body[5:]), binary.BigEndian.Uint32(body[9:])
			if next[p] != i {
				t.Fatalf("producer %d: frame %d where %d was due", p, i, next[p])
			}
			next[p]++
		case wire.TypePuback:
			acks++
		case wire.TypePingreq:
		default:
			t.Fatalf("%v was never sent", h.Type())
		}
		stream = stream[h.Total():]
	}
	for p, n := range next {
		if n != each {
			t.Errorf("producer %d: %d frames of %d", p, n, each)
		}
	}
	if acks != producers*each {
		t.Errorf("%d acknowledgements of %d", acks, producers*each)
	}
}

// A write deadline left on the socket would make a later pong or key update
// fail.
func TestNoWriteDeadlineIsSet(t *testing.T) {
	t.Parallel()
	c, s := script(t, newRecorder(), Options{})
	close(s.gate)
	for range 3 {
		mustQueue(t, c, publish(1, 10))
		c.Flush()
		_ = c.SetDeadline(time.Now().Add(time.Hour))
		_ = c.SetWriteDeadline(time.Now())
	}
	_ = c.Close()
	if n := s.deadlines.Load(); n != 0 {
		t.Errorf("%d write deadlines were set", n)
	}
}
