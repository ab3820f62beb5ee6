package client

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// intake is the way from a subscriber's read loop to the workers. It matches
// and queues; nothing of the user's runs here.
type intake struct {
	run     *run
	at      *subscriber
	awaited awaited // room in the queue
	half    awaited // and in half of it

	// Used by the read loop only.
	batch  []delivery.Item
	next   *Delivery // that the message being delivered lies in
	left   left
	queued room // in batch
	apart  apart
	came   arrivals

	beyond   bool      // the current message exceeds the share of its origin
	vain     time.Time // when a QoS 0 message was dropped that had waited
	sayShare logsafe.PerMinute
}

// apart is what the batchers have and the bounds do not count yet.
type apart struct {
	room
	items []delivery.Held
}

func (a *apart) add(origin uint64, size int) {
	a.room.add(size)
	a.items = append(a.items, delivery.Held{Origin: origin, Size: size})
}

var _ session.Bounded = (*intake)(nil)

// New allocates a message together with its first delivery: most topics have
// one handler.
func (i *intake) New(topic []byte, _ byte, _ int) *session.Inbound {
	if f := i.run.client.cfg.NewDelivery; f != nil {
		i.next = f()
	} else {
		i.next = new(Delivery)
	}
	i.next.message.Topic = i.run.client.router.Name(topic)
	return &i.next.message
}

// Deliver queues one item for each matching subscription. The message is done
// when every one of them is. One that nothing matches is kept for a while.
func (i *intake) Deliver(m *session.Inbound) {
	for !i.deliver(m) {
		if !i.at.strays.take(m) {
			return
		}
	}
}

// deliver reports whether a subscription takes the message. While messages are
// kept, their handler may be registered at the same time: it gets those first.
func (i *intake) deliver(m *session.Inbound) bool {
	if t := &i.at.strays; t.some.Load() {
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
	queued, held := len(i.batch), len(i.apart.items)
	i.batch = i.at.route(m, matched, n, i.batch, &i.apart, i.next)
	i.next = nil
	for range len(i.batch) - queued {
		i.queued.add(m.Size)
	}
	if len(i.batch) > queued {
		i.came.note(i.batch[queued].Origin)
	} else if len(i.apart.items) > held {
		i.came.note(i.apart.items[held].Origin)
	}
	return true
}

// hand queues a message that was kept, on whatever goroutine.
func (i *intake) hand(m *session.Inbound) {
	matched, n := i.at.match(m)
	var apart apart
	var items []delivery.Item
	if n > 0 {
		items = i.at.route(m, matched, n, nil, &apart, nil)
	} else {
		items, _ = i.at.moved(m)
	}
	if apart.count > 0 {
		i.at.sched.Hold(apart.items...)
	}
	if len(items) > 0 {
		i.at.sched.Submit(items...)
	}
}

// Batch hands over what was collected. What the scheduler refuses came after
// intake ended and stays unacknowledged.
func (i *intake) Batch() {
	if i.apart.count > 0 {
		i.at.sched.Hold(i.apart.items...)
		i.apart = apart{items: i.apart.items[:0]}
		if cap(i.apart.items) > maxBatch {
			i.apart.items = nil
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

func doner(m *session.Inbound) delivery.Doner { return m }

// deliver makes the task that brings m to the handler.
func (s *Subscription) deliver(d *Delivery, m *session.Inbound, done delivery.Doner) delivery.Task {
	d.Inbound, d.sub, d.done = m, s, done
	var end delivery.Doner
	if !s.ManualAck {
		end = done
	}
	s.flow.Prepare(&d.task, d, end)
	return &d.task
}
