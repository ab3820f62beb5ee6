package data

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewOutbox opens the place where messages wait for the broker, as configured;
// nil when there is none. The returned function closes it: what still waits is
// sent after the next start.
func NewOutbox(c *conf.MQTT, d *Data, logger log.Logger) (outbox.Store, func(), error) {
	store, err := openOutbox(c, d, log.NewHelper(logger))
	if err != nil {
		return nil, nil, fmt.Errorf("outbox: %w", err)
	}
	if store == nil {
		return nil, func() {}, nil
	}
	cleanup := func() {
		if err := store.Close(); err != nil {
			log.NewHelper(logger).Errorf("close the outbox: %v", err)
		}
	}
	return store, cleanup, nil
}

func openOutbox(c *conf.MQTT, d *Data, helper *log.Helper) (outbox.Store, error) {
	entries, bytes := atMost(c.GetOutbox().GetMaxEntries()), atMost(c.GetOutbox().GetMaxBytes())
	aside := atMost(c.GetOutbox().GetMaxQuarantined())
	switch c.OutboxDriver() {
	case conf.DriverFile:
		return opened(outboxfile.Open(c.Outbox.Path, outboxfile.Options{
			MaxEntries: entries, MaxBytes: int64(bytes), MaxQuarantined: aside,
			// Reports are still taken then, and an operator finds the damaged file.
			OnCorrupt: func(r outboxfile.Recovery) {
				helper.Errorf("the outbox was damaged (%v): %d messages recovered, %d not; the damaged file is %s", r.Err, r.Kept, r.Lost, r.Path)
			},
		}))
	case conf.DriverSQL:
		return opened(outboxsql.New(d.db, outboxsql.Options{MaxEntries: entries, MaxBytes: int64(bytes), MaxQuarantined: aside}))
	case conf.DriverMemory:
		return outbox.NewMemory(outbox.MemoryOptions{MaxEntries: entries, MaxBytes: int64(bytes), MaxQuarantined: aside})
	}
	return nil, nil
}

// opened keeps a store that is nil from being one that is not.
func opened[S outbox.Store](s S, err error) (outbox.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func atMost(n uint64) int { return int(min(n, math.MaxInt)) }

// Waiting is how many messages the outbox holds; 0 when it cannot tell.
func (b *Broker) Waiting() int {
	if b.store == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitingTimeout)
	defer cancel()
	s, err := b.store.Stats(ctx)
	if err != nil {
		return 0
	}
	return s.Depth
}

// waitingTimeout bounds the question how much waits.
const waitingTimeout = time.Second

// flushPoll is how often a flush looks, and flushStuck how long nothing may leave,
// while keys are closed, until all that is left is taken to wait behind those.
const (
	flushPoll  = 10 * time.Millisecond
	flushStuck = time.Second
)

// Flush waits, within ctx, until the outbox is empty, as long as the broker is
// there: what is accepted before a stop is then handled before it, too. What is
// left stays for the next start, and so does what waits behind messages that the
// broker refuses, or has no subscriber for.
func (b *Broker) Flush(ctx context.Context) {
	if b.store == nil {
		return
	}
	tick := time.NewTicker(flushPoll)
	defer tick.Stop()
	depth, since := -1, time.Now()
	for b.connected() {
		s, err := b.store.Stats(ctx)
		if err != nil || s.Depth == 0 {
			return
		}
		if s.Depth != depth {
			depth, since = s.Depth, time.Now()
		} else if time.Since(since) >= flushStuck && b.health().Outbox.ClosedKeys > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
