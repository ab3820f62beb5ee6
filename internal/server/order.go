package server

import (
	"context"
	"errors"
	"sync"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport"
)

// Server is a server that Kratos runs and announces.
type Server interface {
	transport.Server
	transport.Endpointer
}

// StopTogether returns servers that Kratos stops at the same time, its default.
func StopTogether(servers []Server) []transport.Server {
	all := make([]transport.Server, 0, len(servers))
	for _, srv := range servers {
		all = append(all, srv)
	}
	return all
}

// Drain runs after the servers that accept messages have stopped and before the
// subscriber stops.
type Drain struct {
	// Run returns once the accepted messages are on their way to the subscriber, or ctx
	// ends.
	Run func(ctx context.Context)
	// Backlogs are the places where messages may remain, in the order in which messages
	// pass through them.
	Backlogs []Backlog
	Logger   log.Logger
}

// StopInOrder wraps servers for one Kratos app, which stops all of its servers at the
// same time: last stops only after all of first have stopped and the drain has returned,
// so that last still handles everything that first accepted. All share the stop timeout
// of the app. Once a second the number of remaining messages is logged.
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

// Stop implements transport.Server. Its wait needs no timeout of its own, because the
// servers it waits for stop with the same ctx.
func (s *stopsLast) Stop(ctx context.Context) error {
	s.first.Wait()
	told := tellProgress(log.NewHelper(s.drain.Logger), s.drain.Backlogs)
	s.drain.Run(ctx)
	err := s.Server.Stop(ctx)
	told(!errors.Is(err, context.DeadlineExceeded))
	return err
}
