package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// start has a relay send what is in the outbox, until stop. Starting twice is
// one start.
func (k *keeper) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != nil {
		return
	}
	var ctx context.Context
	ctx, k.cancel = context.WithCancel(context.Background())
	k.ended = make(chan struct{})
	go k.run(ctx, k.relay, k.ended)
}

func (k *keeper) run(ctx context.Context, r *relay.Relay, ended chan<- struct{}) {
	defer close(ended)
	ctx, cancel := context.WithCancel(ctx)
	var gate sync.WaitGroup
	if k.gate != nil {
		gate.Go(func() { k.gate.run(ctx) })
	}
	if err := r.Run(ctx); err != nil {
		k.state.log.Errorf("mqtt: nothing is sent from the outbox any more: %v", err)
	}
	cancel()
	gate.Wait()
}

// connection is told how a publishing connection is.
func (k *keeper) connection(up, some bool) {
	k.mu.Lock()
	r := k.relay
	k.down = !some
	k.mu.Unlock()
	k.gate.connection()
	if !up {
		r.ConnectionLost()
	}
	if some { // what another one carries is not to wait for this one
		r.ConnectionUp()
		return
	}
	k.hurryUp()
}

// hurryUp ends the wait for a flush that cannot go on.
func (k *keeper) hurryUp() {
	k.mu.Lock()
	hurry := k.hurry
	k.mu.Unlock()
	if hurry != nil {
		hurry()
	}
}

// stop sends, within ctx and as long as there is a connection, what is in the
// outbox, ends the relay, and returns how much is left for the next start and how
// much of that has no outcome yet.
func (k *keeper) stop(ctx context.Context) (left, flying int) {
	k.async.wait(ctx)
	k.mu.Lock()
	r, cancel, ended, useful := k.relay, k.cancel, k.ended, !k.down
	k.mu.Unlock()
	if ended == nil {
		return 0, 0
	}
	if useful && k.gate.isOpen() {
		k.flush(ctx, r)
	}
	undecided := k.gate.undecided() // no session knows of them any more
	cancel()
	<-ended
	k.alarms.wait(ctx)
	left, flying = k.leftIn(r)
	flying -= undecided
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != ended { // another stop was faster: what runs by now is the next start's
		return left, flying
	}
	if err := k.renew(); err != nil {
		k.state.log.Errorf("mqtt: outbox: %v", err) // the options were good before
	}
	k.ended, k.down = nil, false
	return left, flying
}

func (k *keeper) leftIn(r *relay.Relay) (left, flying int) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	h := r.Health(ctx)
	return h.Depth, h.InFlight
}

// flush waits until everything is sent and acknowledged, and deleted. It does
// not wait for the end of Hold: what is held is sent again at the next start.
func (k *keeper) flush(ctx context.Context, r *relay.Relay) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.mu.Lock()
	k.hurry = cancel
	if k.down {
		cancel()
	}
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		k.hurry = nil
		k.mu.Unlock()
	}()
	if err := k.flushed(ctx, r); err == nil {
		_ = r.Stop(ctx)
	} else if errors.Is(err, relay.ErrRefused) {
		k.state.log.Warnf("mqtt: the outbox is not emptied: %v", err)
		_ = r.Stop(ctx)
	}
}

// flushed returns the error of Flush, and does not wait for the end of Hold.
func (k *keeper) flushed(ctx context.Context, r *relay.Relay) error {
	if k.cfg.Hold == 0 {
		return r.Flush(ctx)
	}
	for h := r.Health(ctx); h.Err == nil && (h.InFlight > 0 || h.Depth > h.Held); h = r.Health(ctx) {
		if h.Standby {
			return outbox.ErrNotHolder
		}
		if r.OnlyRefused() {
			err := relay.ErrRefused
			for _, c := range r.ClosedKeys(1) {
				err = fmt.Errorf("%w: %d keys wait, the first for %w", err, h.ClosedKeys, c.Err)
			}
			return err
		}
		if !pause(ctx, holdPoll) {
			return ctx.Err()
		}
	}
	return nil
}

// holdPoll is how often a flush looks at what is held.
const holdPoll = 20 * time.Millisecond
