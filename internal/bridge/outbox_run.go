package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
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
	k.opened, k.ended = false, make(chan struct{})
	go k.run(ctx, k.relay, k.ended)
}

// gatePause is the time between two questions to a gate that fails.
const gatePause = time.Second

func (k *keeper) run(ctx context.Context, relay *outbox.Relay, ended chan<- struct{}) {
	defer close(ended)
	for !k.open(ctx) {
		if ctx.Err() != nil || !pause(ctx, gatePause) {
			return
		}
	}
	if err := relay.Run(ctx); err != nil {
		k.state.log.Errorf("mqtt: nothing is sent from the outbox any more: %v", err)
	}
}

// open waits for the gate.
func (k *keeper) open(ctx context.Context) bool {
	if gate := k.cfg.Gate; gate != nil {
		err := errGate
		k.state.protect("the gate of the outbox", func() { err = gate(ctx) })
		if err != nil {
			if ctx.Err() == nil {
				k.state.log.Warnf("mqtt: the outbox is held back: %v", err)
			}
			return false
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.opened = true
	return true
}

var errGate = errors.New("the gate panicked")

// connection is told how a publishing connection is.
func (k *keeper) connection(up bool) {
	k.mu.Lock()
	relay, hurry := k.relay, k.hurry
	k.down = !up
	k.mu.Unlock()
	if up {
		relay.ConnectionUp()
		return
	}
	relay.ConnectionLost()
	if hurry != nil {
		hurry()
	}
}

// stop sends, within ctx and as long as there is a connection, what is in the
// outbox, ends the relay, and gives how much is left for the next start and how
// much of that has no outcome yet.
func (k *keeper) stop(ctx context.Context) (left, flying int) {
	k.async.wait(ctx)
	k.mu.Lock()
	relay, cancel, ended, useful := k.relay, k.cancel, k.ended, k.opened && !k.down
	k.mu.Unlock()
	if ended == nil {
		return 0, 0
	}
	if useful {
		k.flush(ctx, relay)
	}
	cancel()
	<-ended
	left, flying = k.leftIn(relay)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.renew(); err != nil {
		k.state.log.Errorf("mqtt: outbox: %v", err) // the options were good before
	}
	k.ended, k.down = nil, false
	return left, flying
}

func (k *keeper) leftIn(relay *outbox.Relay) (left, flying int) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	h := relay.Health(ctx)
	return h.Depth, h.InFlight
}

// flush waits until everything is sent and acknowledged, and deleted. It does
// not wait for the end of Hold: what is held is sent again at the next start.
func (k *keeper) flush(ctx context.Context, relay *outbox.Relay) {
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
	if k.cfg.Hold == 0 {
		if relay.Flush(ctx) == nil {
			_ = relay.Stop(ctx)
		}
		return
	}
	for h := relay.Health(ctx); h.Err == nil && (h.InFlight > 0 || h.Depth > h.Held); h = relay.Health(ctx) {
		if !pause(ctx, holdPoll) {
			return
		}
	}
	_ = relay.Stop(ctx)
}

// holdPoll is how often a flush looks at what is held.
const holdPoll = 20 * time.Millisecond
