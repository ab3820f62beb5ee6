package client

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// publishers are the connections that a client publishes on. A topic always uses the same
// one, so that its messages keep their order. Each connects when first used.
type publishers struct {
	seed     maphash.Seed
	sessions []*session.Session

	mu sync.Mutex
	up map[string]bool // by client id
}

// newPublishers makes n sessions with the client ids id, id-2, id-3...
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

// first returns the session that represents all of them.
func (p *publishers) first() *session.Session { return p.sessions[0] }

// of returns the session of a topic, and connects it when first used.
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

// note records whether a connection is up, and reports whether any is.
func (p *publishers) note(id string, up bool) (connected bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		p.up[id] = true
	} else {
		delete(p.up, id)
	}
	return len(p.up) > 0
}

// downAlone reports whether the connection of a topic is down while another one is up. It
// connects a connection that was not used before.
func (p *publishers) downAlone(topic string) bool {
	i := p.index(topic)
	p.mu.Lock()
	alone := len(p.up) > 0 && !p.up[p.sessions[i].ClientID()]
	p.mu.Unlock()
	if alone {
		p.sessions[i].Start()
	}
	return alone
}
