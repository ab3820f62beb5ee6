package link

import (
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// maxRequests limits the unanswered SUBSCRIBEs and UNSUBSCRIBEs.
const maxRequests = 1024

// requests records the library's requests to check the answers: more codes than
// filters make a library index out of range.
type requests struct {
	mu    sync.Mutex
	open  map[request]int // number of filters
	count atomic.Int32    // len(open)
}

type request struct {
	answer wire.Type // SUBACK or UNSUBACK
	id     uint16
}

// note records a SUBSCRIBE or UNSUBSCRIBE that is being sent.
func (r *requests) note(v wire.Version, h wire.Header, body []byte) error {
	id, n, err := wire.SubscribeCount(v, h.First, body)
	if err != nil {
		return err
	}
	if id >= firstOwnID {
		return refuse(h, ErrPacketID)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= maxRequests {
		return refuse(h, ErrBacklog)
	}
	// The type of an answer is that of its request plus one.
	r.open[request{h.Type() + 1, id}] = n
	r.count.Store(int32(len(r.open)))
	return nil
}

// settle checks a SUBACK or UNSUBACK against its request.
func (r *requests) settle(v wire.Version, h wire.Header, body []byte) error {
	id, n, err := wire.SubackCount(v, h.First, body)
	if err != nil {
		return err
	}
	key := request{h.Type(), id}
	r.mu.Lock()
	want, asked := r.open[key]
	delete(r.open, key)
	r.count.Store(int32(len(r.open)))
	r.mu.Unlock()
	if h.Type() == wire.TypeUnsuback && v != wire.V5 {
		want = 0 // the UNSUBACK of 3.1.1 has no codes
	}
	if !asked || n != want {
		return refuse(h, ErrAnswer)
	}
	return nil
}
