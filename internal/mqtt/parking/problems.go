package parking

import (
	"context"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// problems has the messages that cannot be stored at the moment, and the reasons.
type problems struct {
	mu   sync.Mutex
	all  map[any]struct{}
	last error
}

func (p *problems) set(what any, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[any]struct{})
	}
	p.all[what], p.last = struct{}{}, err
}

func (p *problems) clear(what any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.all, what); len(p.all) == 0 {
		p.last = nil
	}
}

// Problem returns why the store does not take a message at the moment, or nil if it takes
// all.
func (l *DeadLetters) Problem() error {
	l.problems.mu.Lock()
	defer l.problems.mu.Unlock()
	return l.problems.last
}

// Ensure tests a store that needs a test before its first use, until the test succeeds.
func (l *DeadLetters) Ensure(ctx context.Context) {
	s, ok := l.Store.(interface {
		Ensure(ctx context.Context, failed func(error)) error
	})
	if !ok {
		return
	}
	err := s.Ensure(ctx, func(err error) {
		l.problems.set(s, err)
		l.Log.Seldom("letters cannot be kept", func(more []any) {
			l.Log.Error("mqtt: dead letters cannot be kept", append(more, logsafe.KeyError, err)...)
		})
	})
	if err == nil {
		l.problems.clear(s)
	}
}
