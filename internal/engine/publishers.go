package engine

import (
	"fmt"
	"hash/maphash"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// publishers are the connections that a client publishes on. A topic always
// uses the same one, so that its messages keep their order. Each connects when
// first used.
type publishers struct {
	seed     maphash.Seed
	sessions []*session.Session
}

// newPublishers makes n sessions: id, id-2, id-3...
func newPublishers(n int, id string, open func(id string) (*session.Session, error)) (*publishers, error) {
	p := &publishers{seed: maphash.MakeSeed()}
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
	s := p.first()
	if n := uint64(len(p.sessions)); n > 1 {
		s = p.sessions[maphash.String(p.seed, topic)%n]
	}
	s.Start()
	return s
}
