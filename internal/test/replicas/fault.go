package replicas

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
)

// fault is a kind of fault. inject causes one and ends it. It rebalances if other replicas take
// over, or the same one on another node.
type fault struct {
	name       string
	rebalances bool
	inject     func(r *run)
}

func faults() []fault {
	return []fault{
		{"node-kill", true, func(r *run) {
			node := r.random.IntN(r.cluster.Nodes())
			r.cluster.Kill(node)
			r.pause(500, 1500)
			r.cluster.Start(node)
		}},
		{"collector-kill", false, func(r *run) { r.killReplica(r.collectors) }},
		{"saver-kill", true, func(r *run) { r.killReplica(r.savers) }},
		{"postgres-restart", false, func(r *run) {
			r.database.Stop(r.tb, postgres.Immediate)
			r.pause(200, 800)
			r.database.Restart(r.tb)
		}},
		{"cut", true, func(r *run) {
			all := r.replicas()
			s := all[r.random.IntN(len(all))]
			link := s.links[0] // the node that the replica prefers
			link.Cut()
			link.Refuse(true)
			r.pause(500, 1500)
			link.Refuse(false)
		}},
		{"rolling-restart", false, func(r *run) {
			before := r.load.refused.Load()
			for _, s := range r.replicas() {
				r.check(s.stop())
				r.check(s.start())
				r.check(s.awaitReady(r.load.client))
			}
			r.rolled += r.load.refused.Load() - before
		}},
	}
}

func find(name string) *fault {
	all := faults()
	if i := slices.IndexFunc(all, func(f fault) bool { return f.name == name }); i >= 0 {
		return &all[i]
	}
	return nil
}

// killReplica kills one of them, and starts it again.
func (r *run) killReplica(of []*replica) {
	s := of[r.random.IntN(len(of))]
	s.kill()
	r.pause(50, 450)
	r.check(s.start())
	r.check(s.awaitReady(r.load.client))
}

// pause waits for a time of at least so many milliseconds, and at most as many more.
func (r *run) pause(least, more int) {
	<-time.After(time.Duration(least+r.random.IntN(more+1)) * time.Millisecond)
}

// check fails the run on an error.
func (r *run) check(err error) {
	r.tb.Helper()
	if err != nil {
		r.tb.Fatalf("replicas: %v", err)
	}
}
