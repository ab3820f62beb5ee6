package console

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Recorder remembers what a console shows of the past. It is a hook: give it to each client
// with the option WithHooks of both MQTT packages. Its memory is bounded: 256 operations for 5
// minutes, and 10,000 topics. Safe for concurrent use; it delays a publish and a handler by less than a microsecond, and
// has no effect on acknowledgement. Create it with [NewRecorder].
type Recorder struct {
	flows  flows
	topics topics
	live   live
	now    func() time.Time
}

var (
	_ event.ArrivalHook    = (*Recorder)(nil)
	_ event.PayloadSwitch  = (*Recorder)(nil)
	_ event.PublishHook    = (*Recorder)(nil)
	_ event.HandleHook     = (*Recorder)(nil)
	_ event.RetryHook      = (*Recorder)(nil)
	_ event.DeadLetterHook = (*Recorder)(nil)
	_ event.ParkHook       = (*Recorder)(nil)
)

// NewRecorder returns a recorder that has seen nothing yet.
func NewRecorder() *Recorder {
	return &Recorder{now: time.Now}
}

// OnPublish implements event.PublishHook.
func (r *Recorder) OnPublish(info event.PublishInfo) {
	now := r.now()
	name := info.Operation
	if name == "" {
		name = info.Template
	}
	r.flows.of(flow{name, info.Template, send}).record(now, sample{took: info.Duration, failed: info.Err != nil})
	r.topics.seen(info.Topic, now)
	if r.live.watched() {
		r.published(&info, now)
	}
}

// OnHandle implements event.HandleHook.
func (r *Recorder) OnHandle(info event.HandleInfo) {
	now := r.now()
	s := sample{took: info.Duration, failed: info.Err != nil}
	if !info.SentAt.IsZero() && info.Err == nil {
		s.age = max(0, now.Sub(info.SentAt))
	}
	r.flows.handles(&info.Delivery).record(now, s)
	if info.Attempt <= 1 {
		r.topics.seen(info.Topic, now)
	}
}

// OnRetry implements event.RetryHook.
func (r *Recorder) OnRetry(info event.RetryInfo) {
	r.flows.handles(&info.Delivery).retries.Add(1)
	r.live.fate(info.Delivery, fate{kind: "retry", after: info.After, err: info.Err}, r.now())
}

// OnDeadLetter implements event.DeadLetterHook.
func (r *Recorder) OnDeadLetter(info event.DeadLetterInfo) {
	r.flows.handles(&info.Delivery).letters.Add(1)
	r.live.fate(info.Delivery, fate{kind: "dead_letter", letter: info.ID, err: info.Err}, r.now())
}

// OnPark implements event.ParkHook.
func (r *Recorder) OnPark(info event.ParkInfo) {
	r.flows.handles(&info.Delivery).parked.Add(1)
	r.live.fate(info.Delivery, fate{kind: "parked", letter: info.ID, err: info.Err}, r.now())
}
