package parking

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// Parking is everything that a client has parked, between Start and Stop. It is safe
// for concurrent use.
type Parking struct {
	*DeadLetters

	restoring sync.Mutex   // while parked messages are read back
	foreign   atomic.Int64 // parked messages that nobody here handles

	mu       sync.Mutex
	sessions []*Backlogs
}

// New returns the parking of a run, where nothing is parked yet.
func New(s Settings, t *Totals) *Parking { return &Parking{DeadLetters: NewDeadLetters(s, t)} }

// CannotPark reports why a client with this store and client id can park nothing,
// and what is wanted; nil if it can. A nil store does not park.
func CannotPark(store deadletter.Store, clientID string) error {
	switch {
	case store == nil || !store.Parks():
		return errors.New("the store for dead letters does not park: want one in SQL or a file, or another exhausted than park")
	case clientID == "":
		return errors.New("without a client id nobody comes back to parked messages: want a client_id, or another exhausted than park")
	}
	return nil
}

// Owner names the one that holds the parked messages of a subscription: a client, and
// of several handlers on one filter which, by its place among them, from 0.
func Owner(clientID string, place int) string {
	if place == 0 {
		return clientID
	}
	return fmt.Sprintf("%s#%d", clientID, place+1)
}

// Session returns the backlogs of a session, whose scheduler has so many workers.
func (p *Parking) Session(sched *delivery.Scheduler, workers int) *Backlogs {
	b := &Backlogs{parking: p, sched: sched, turns: newTurns(workers)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions = append(p.sessions, b)
	return b
}

// all are the backlogs of all sessions.
func (p *Parking) all() (all []*Backlog) {
	p.mu.Lock()
	sessions := slices.Clone(p.sessions)
	p.mu.Unlock()
	for _, b := range sessions {
		all = append(all, b.list()...)
	}
	return all
}

// RetryNow has the keys handled at once whose oldest message has one of these ids, instead of
// after their pause, and returns how many keys that were.
func (p *Parking) RetryNow(ids ...string) (n int) {
	for _, l := range p.all() {
		n += l.retryNow(ids)
	}
	return n
}

// Foreign is how many messages are parked that nobody here handles, as far as known.
func (p *Parking) Foreign() int { return int(p.foreign.Load()) }
