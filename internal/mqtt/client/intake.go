package client

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// intake is the way from a subscriber's read loop to the workers. It matches
// and queues; no user code runs here.
type intake struct {
	run    *run
	at     *subscriber
	paused pausedConn // room in the queue
	half   pausedConn // and in half of it

	// Used by the read loop only.
	batch      []delivery.Item
	next       *Delivery // that the message being delivered lies in
	remaining  remaining
	queued     room // in batch
	toBatchers toBatchers
	arrivals   arrivals

	overShare    bool      // the current message exceeds the share of its origin
	lastFullWait time.Time // when a QoS 0 message was dropped that had waited
}

// toBatchers are messages that the batchers have and the bounds do not count yet.
type toBatchers struct {
	room
	items []delivery.Held
}

func (a *toBatchers) add(origin uint64, size int) {
	a.room.add(size)
	a.items = append(a.items, delivery.Held{Origin: origin, Size: size})
}

var _ session.Bounded = (*intake)(nil)

// New allocates a message together with its first delivery: most topics have
// one handler.
func (i *intake) New(topic []byte, _ byte, _ int) *session.Inbound {
	i.next = new(Delivery)
	i.next.message.Topic = i.run.client.router.Name(topic)
	return &i.next.message
}

// Deliver queues one item for each matching subscription. The message is done
// when every one of them is. One that nothing matches is kept for a while.
func (i *intake) Deliver(m *session.Inbound) {
	for !i.deliver(m) {
		if !i.at.unmatched.add(m) {
			i.at.showUnmatched(m)
			return
		}
	}
}

// deliver reports whether a subscription takes the message. While messages are
// kept, their handler may be registered at the same time: it gets those first.
func (i *intake) deliver(m *session.Inbound) bool {
	if t := &i.at.unmatched; t.maybeKept.Load() {
		t.mu.Lock()
		defer t.mu.Unlock()
	}
	matched, n := i.at.match(m)
	if n == 0 {
		items, found := i.at.moved(m)
		for _, it := range items {
			i.queued.add(it.Size)
		}
		i.batch = append(i.batch, items...)
		return found
	}
	queued, held := len(i.batch), len(i.toBatchers.items)
	i.batch = i.at.route(m, matched, n, i.batch, &i.toBatchers, i.next)
	i.next = nil
	for range len(i.batch) - queued {
		i.queued.add(m.Size)
	}
	if len(i.batch) > queued {
		i.arrivals.note(i.batch[queued].Origin)
	} else if len(i.toBatchers.items) > held {
		i.arrivals.note(i.toBatchers.items[held].Origin)
	}
	return true
}

// deliverKept queues a message that was kept. It may be called from any goroutine.
func (i *intake) deliverKept(m *session.Inbound) {
	matched, n := i.at.match(m)
	var later toBatchers
	var items []delivery.Item
	if n > 0 {
		items = i.at.route(m, matched, n, nil, &later, nil)
	} else {
		items, _ = i.at.moved(m)
	}
	if later.count > 0 {
		i.at.sched.Hold(later.items...)
	}
	if len(items) > 0 {
		i.at.sched.Submit(items...)
	}
}

// Batch hands over what was collected. What the scheduler refuses came after
// intake ended and stays unacknowledged.
func (i *intake) Batch() {
	if i.toBatchers.count > 0 {
		i.at.sched.Hold(i.toBatchers.items...)
		i.toBatchers = toBatchers{items: i.toBatchers.items[:0]}
		if cap(i.toBatchers.items) > maxBatch {
			i.toBatchers.items = nil
		}
	}
	i.queued = room{}
	if len(i.batch) == 0 {
		return
	}
	i.at.sched.Submit(i.batch...)
	clear(i.batch)
	i.batch = i.batch[:0]
	if cap(i.batch) > maxBatch {
		i.batch = nil
	}
}

// maxBatch is the largest batch whose memory is kept.
const maxBatch = 4096

// deliver makes the task that brings m to the handler.
func (s *Subscription) deliver(d *Delivery, m *session.Inbound) delivery.Task {
	d.Inbound, d.sub = m, s
	var end *delivery.Entry
	if !s.ManualAck {
		end = m.Entry()
	}
	s.flow.Load().Prepare(&d.task, d, end)
	return &d.task
}
