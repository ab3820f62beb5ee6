package engine

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// intake is the way from a subscriber's read loop to the workers. It matches
// and queues; nothing of the user's runs here.
type intake struct {
	run     *run
	at      *subscriber
	awaited awaited

	// Used by the read loop only.
	batch  []delivery.Item
	next   *Delivery // that the message being delivered lies in
	room   room
	queued room // in batch
	apart  room // with the batchers, and not counted yet
}

var _ session.Bounded = (*intake)(nil)

// New allocates a message together with its first delivery: most topics have
// one handler.
func (i *intake) New(byte, int) *session.Inbound {
	i.next = new(Delivery)
	return &i.next.message
}

// Deliver queues one item for each matching subscription. The message is done
// when every one of them is.
func (i *intake) Deliver(m *session.Inbound) {
	r := i.run
	matched := r.client.router.Match(m.Topic)
	n := 0
	for _, s := range matched {
		if i.at.takes(s, m) {
			n++
		}
	}
	if n == 0 {
		for _, it := range i.at.moved(m) {
			i.batch = append(i.batch, it)
			i.queued.add(it.Size)
			n++
		}
		if n == 0 {
			r.unmatched(m)
		}
		return
	}
	i.at.arrived(m, matched)
	done := delivery.Join(n, doner(m))
	topicKey := i.at.sched.Key(m.Topic)
	for _, s := range matched {
		if !i.at.takes(s, m) {
			continue
		}
		key, d := topicKey, i.delivery()
		if s.OrderingKey != nil {
			key, d.key = i.at.orderingKey(s, m, key)
		}
		s.overflows = false
		task := s.deliver(d, m, done)
		if s.batch != nil {
			s.batch.add(d, key)
			i.apart.add(m.Size)
			continue
		}
		i.batch = append(i.batch, delivery.Item{Task: task, Lane: s.lane, Key: key, Size: m.Size, Must: true})
		i.queued.add(m.Size)
	}
}

// Batch hands over what was collected. What the scheduler refuses came after
// intake ended and stays unacknowledged.
func (i *intake) Batch() {
	if i.apart.count > 0 {
		i.at.sched.Hold(i.apart.count, i.apart.bytes)
		i.apart = room{}
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

// orderingKey asks the subscription; a panic leaves the order to the topic.
func (at *subscriber) orderingKey(s *Subscription, m *session.Inbound, byTopic uint64) (key uint64, name string) {
	key, name = byTopic, m.Topic
	at.run.client.hook(func() {
		if name = s.OrderingKey(m); name == "" {
			key = 0
		} else {
			key = at.sched.Key(name)
		}
	})
	return key, name
}

// maxBatch is the largest batch whose memory is kept.
const maxBatch = 4096

func doner(m *session.Inbound) delivery.Doner { return m }

// delivery gives the one that New made, and new ones to further handlers.
func (i *intake) delivery() *Delivery {
	d := i.next
	if i.next = nil; d == nil {
		d = new(Delivery)
	}
	return d
}

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

// unmatched takes what a persistent session still delivers for a filter of an
// earlier deployment: nobody here can handle it, and keeping it would stop
// everything behind it.
func (r *run) unmatched(m *session.Inbound) {
	if n := r.client.counts.unmatched.Add(1); n == 1 {
		r.client.log.Warnf("mqtt: no subscription matches topic %q; such messages are acknowledged and counted", m.Topic)
	}
	r.dropped(0, 1, 0)
	m.Done()
}
