package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// relaying runs a relay between start and stop, and has the next one ready after that:
// each runs once.
type relaying struct {
	open   func() (*relay.Relay, error)
	gate   *gate
	delays *delays
	alarms *alarms
	log    logsafe.Log
	hold   time.Duration

	mu     sync.Mutex
	relay  *relay.Relay // of this run, or of the next
	cancel context.CancelFunc
	ended  chan struct{} // closed when the relay's goroutine ended; nil while there is none
	down   bool          // a publishing connection is
	hurry  func()        // ends the wait for a flush; nil without one
}

// renew makes the relay of the next run.
func (w *relaying) renew() error {
	r, err := w.open()
	if err == nil {
		w.relay = r
	}
	return err
}

func (w *relaying) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return
	}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.ended = make(chan struct{})
	go w.run(ctx, w.relay, w.ended)
}

func (w *relaying) run(ctx context.Context, r *relay.Relay, ended chan<- struct{}) {
	defer close(ended)
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	if w.gate != nil {
		beside.Go(func() { w.gate.run(ctx) })
	}
	beside.Go(func() { w.delays.run(ctx) })
	if err := r.Run(ctx); err != nil {
		w.log.Error("mqtt: nothing is sent from the outbox any more", logsafe.KeyError, err)
	}
	cancel()
	beside.Wait()
}

// connection reports the state of a publishing connection.
func (w *relaying) connection(up, some bool) {
	w.mu.Lock()
	r := w.relay
	w.down = !some
	w.mu.Unlock()
	w.gate.connection()
	if !up {
		r.ConnectionLost()
	}
	if some { // what another one carries is not to wait for this one
		r.ConnectionUp()
		return
	}
	w.hurryUp()
}

// hurryUp ends the wait for a flush that cannot go on.
func (w *relaying) hurryUp() {
	w.mu.Lock()
	hurry := w.hurry
	w.mu.Unlock()
	if hurry != nil {
		hurry()
	}
}

// stop is [Outbox.Stop] once everything is in the store.
func (w *relaying) stop(ctx context.Context) (left, flying int) {
	w.mu.Lock()
	r, cancel, ended, useful := w.relay, w.cancel, w.ended, !w.down
	w.mu.Unlock()
	if ended == nil {
		return 0, 0
	}
	if useful && w.gate.isOpen() {
		w.flush(ctx, r)
	}
	undecided := w.gate.undecided() // no session knows of them any more
	cancel()
	<-ended
	w.alarms.wait(ctx)
	left, flying = w.leftIn(r)
	flying -= undecided
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != ended { // another stop was faster: what runs by now is the next start's
		return left, flying
	}
	if err := w.renew(); err != nil {
		w.log.Error("mqtt: the outbox cannot be started again", logsafe.KeyError, err) // the options were good before
	}
	w.ended, w.down = nil, false
	return left, flying
}

func (w *relaying) leftIn(r *relay.Relay) (left, flying int) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	h := r.Health(ctx)
	return h.Depth, h.InFlight
}

// flush waits until everything is sent and acknowledged, and deleted. It does
// not wait for the end of Hold: what is held is sent again at the next start.
func (w *relaying) flush(ctx context.Context, r *relay.Relay) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.hurry = cancel
	if w.down {
		cancel()
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.hurry = nil
		w.mu.Unlock()
	}()
	if err := w.flushed(ctx, r); err == nil {
		_ = r.Stop(ctx)
	} else if errors.Is(err, relay.ErrRefused) {
		w.log.Warn("mqtt: the outbox is not emptied", logsafe.KeyError, err)
		_ = r.Stop(ctx)
	}
}

// flushed returns the error of Flush, and does not wait for the end of Hold.
func (w *relaying) flushed(ctx context.Context, r *relay.Relay) error {
	if w.hold == 0 {
		return r.Flush(ctx)
	}
	poll := time.NewTicker(holdPoll)
	defer poll.Stop()
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
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// holdPoll is how often a flush looks at what is held.
const holdPoll = 20 * time.Millisecond

// retryNow has the relay try at once what waits for the end of a pause.
func (w *relaying) retryNow() { w.current().ConnectionUp() }

// current is the relay of this run, or of the next.
func (w *relaying) current() *relay.Relay {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.relay
}

// up reports whether the relay runs and a connection is there.
func (w *relaying) up() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended != nil && !w.down
}
