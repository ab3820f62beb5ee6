package client

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// publishers are the connections that a client publishes on. A topic always
// uses the same one, so that its messages keep their order. Each connects when
// first used.
type publishers struct {
	seed     maphash.Seed
	sessions []*session.Session

	mu sync.Mutex
	up map[string]bool // by client id
}

// newPublishers makes n sessions: id, id-2, id-3...
func newPublishers(n int, id string, open func(id string) (*session.Session, error)) (*publishers, error) {
	p := &publishers{seed: maphash.MakeSeed(), up: make(map[string]bool)}
	for i := range n {
		name := id
		if i > 0 {
			name = fmt.Sprintf("%s-%d", id, i+1)
		}
		s, err := open(name)
		if err != nil {
			return nil, err
		}
		p.sessions = append(p.sessions, s)
	}
	return p, nil
}

// first is the session that stands for all of them.
func (p *publishers) first() *session.Session { return p.sessions[0] }

// of returns the session of a topic, connecting it when first used.
func (p *publishers) of(topic string) *session.Session {
	s := p.sessions[p.index(topic)]
	s.Start()
	return s
}

func (p *publishers) index(topic string) int {
	if n := uint64(len(p.sessions)); n > 1 {
		return int(maphash.String(p.seed, topic) % n)
	}
	return 0
}

// note notes whether a connection is there, and reports whether any is.
func (p *publishers) note(id string, up bool) (some bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		p.up[id] = true
	} else {
		delete(p.up, id)
	}
	return len(p.up) > 0
}

// apart reports whether the connection of a topic, which it has made, is not there
// while another one is.
func (p *publishers) apart(topic string) bool {
	i := p.index(topic)
	p.mu.Lock()
	apart := len(p.up) > 0 && !p.up[p.sessions[i].ClientID()]
	p.mu.Unlock()
	if apart {
		p.sessions[i].Start()
	}
	return apart
}
