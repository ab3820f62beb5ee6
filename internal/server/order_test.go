package server

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport"
)

var errStop = errors.New("stop failed")

// recorded is a server that records when it was stopped.
type recorded struct {
	name string
	fail error
	gate chan struct{} // closed: Stop may go on

	journal *journal
}

type journal struct {
	mu      sync.Mutex
	entries []string
}

func (j *journal) add(entry string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
}

func (r *recorded) Start(context.Context) error { return nil }

func (r *recorded) Stop(context.Context) error {
	if r.gate != nil {
		<-r.gate
	}
	r.journal.add(r.name)
	return r.fail
}

func (r *recorded) Endpoint() (*url.URL, error) { return url.Parse("test://" + r.name) }

func TestStopInOrder(t *testing.T) {
	t.Parallel()
	j, gate := &journal{}, make(chan struct{})
	servers := StopInOrder(
		[]Server{&recorded{name: "first", gate: gate, fail: errStop, journal: j}, &recorded{name: "second", journal: j}},
		Drain{Run: func(context.Context) { j.add("drain") }, Logger: log.DefaultLogger},
		&recorded{name: "last", journal: j},
	)
	errs := make([]error, len(servers))
	var stopped sync.WaitGroup
	for i, srv := range slices.Backward(servers) { // the last one is stopped first
		stopped.Go(func() { errs[i] = srv.Stop(context.Background()) })
	}
	close(gate)
	stopped.Wait()
	if n := len(j.entries); n != 4 || j.entries[2] != "drain" || j.entries[3] != "last" {
		t.Errorf("order %v", j.entries)
	}
	if !errors.Is(errs[0], errStop) || errs[1] != nil || errs[2] != nil {
		t.Errorf("errors %v", errs)
	}
	for i, want := range []string{"first", "second", "last"} {
		u, err := servers[i].(transport.Endpointer).Endpoint()
		if err != nil || u.Host != want {
			t.Errorf("endpoint %d: %v, %v", i, u, err)
		}
	}
}

func TestStopTwice(t *testing.T) {
	t.Parallel()
	j := &journal{}
	servers := StopInOrder([]Server{&recorded{name: "first", journal: j}}, Drain{Run: func(context.Context) {}, Logger: log.DefaultLogger}, &recorded{name: "last", journal: j})
	for range 2 {
		for _, srv := range servers {
			if err := srv.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}
