package link

import (
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// maxRequests bounds the SUBSCRIBEs and UNSUBSCRIBEs without an answer.
const maxRequests = 1024

// requests remembers what the library asked for, to judge the answers: more
// codes than filters make a library index out of range.
type requests struct {
	mu    sync.Mutex
	open  map[request]int // number of filters
	count atomic.Int32    // of open
}

type request struct {
	answer wire.Type // SUBACK or UNSUBACK
	id     uint16
}

// note remembers a SUBSCRIBE or UNSUBSCRIBE on its way out.
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
	// The type of an answer follows that of its request.
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
		want = 0 // it has no codes there
	}
	if !asked || n != want {
		return refuse(h, ErrAnswer)
	}
	return nil
}
