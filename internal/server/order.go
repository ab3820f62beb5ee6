package server

import (
	"context"
	"sync"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport"
)

// Server is what Kratos runs and announces.
type Server interface {
	transport.Server
	transport.Endpointer
}

// StopTogether is Kratos' own way: all servers stop at the same time.
func StopTogether(servers []Server) []transport.Server {
	all := make([]transport.Server, 0, len(servers))
	for _, srv := range servers {
		all = append(all, srv)
	}
	return all
}

// Drain is what happens between the stop of the intake and that of the subscriber.
type Drain struct {
	// Run returns when what was accepted is on its way to the subscriber, or ctx
	// ends.
	Run func(ctx context.Context)
	// Backlogs are the places where something may be left meanwhile, in the order
	// of the way.
	Backlogs []Backlog
	Logger   log.Logger
}

// StopInOrder wraps servers for one Kratos app, which stops all of its servers
// at the same time, so that last stops only after all of first have stopped and
// the drain has returned. Then whatever first accepted until its end is still
// handled by last. All of them share the app's stop timeout. Once a second the log
// says how much is left.
func StopInOrder(first []Server, drain Drain, last Server) []transport.Server {
	var stopped sync.WaitGroup
	servers := make([]transport.Server, 0, len(first)+1)
	for _, srv := range first {
		stopped.Add(1)
		servers = append(servers, &stopsFirst{Server: srv, done: sync.OnceFunc(stopped.Done)})
	}
	return append(servers, &stopsLast{Server: last, first: &stopped, drain: drain})
}

type stopsFirst struct {
	Server
	done func()
}

// Stop implements transport.Server.
func (s *stopsFirst) Stop(ctx context.Context) error {
	defer s.done()
	return s.Server.Stop(ctx)
}

type stopsLast struct {
	Server
	first *sync.WaitGroup
	drain Drain
}

// Stop implements transport.Server. It needs no way out of its wait: the
// servers it waits for are stopped with the same ctx.
func (s *stopsLast) Stop(ctx context.Context) error {
	s.first.Wait()
	told := tellProgress(log.NewHelper(s.drain.Logger), s.drain.Backlogs)
	defer told()
	s.drain.Run(ctx)
	return s.Server.Stop(ctx)
}
