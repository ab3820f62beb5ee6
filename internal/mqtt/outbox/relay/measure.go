package relay

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Measuring runs beside the work. It takes at most a tenth of the time, and each time at
// most measureTime.
const (
	measureTime  = 10 * time.Second
	measureShare = 10
)

// measured is a measurement of the store.
type measured struct {
	stats outbox.Stats
	err   error
	own   int // entries that the relay had quarantined; -1 if that changed meanwhile
}

// fillWatch remembers which level of the store was reported, and how many entries the store
// quarantined itself.
type fillWatch struct {
	high     bool
	measured bool // base is set
	base     int  // quarantined entries at the last measurement, without those of the relay
}

// report calls the hooks for what happened since the last job. It returns an error only if
// the store is closed.
func (w *worker) report() error {
	w.mu.Lock()
	m, refused := w.measured, w.reports.due
	w.measured, w.reports.due = nil, nil
	w.mu.Unlock()
	for _, k := range refused {
		f := w.o.Observe.Refused
		if k.Unanswered {
			f = w.o.Observe.Unanswered
		}
		if f != nil {
			f(k)
		}
	}
	switch {
	case m == nil:
	case errors.Is(m.err, outbox.ErrClosed):
		return m.err
	case m.err != nil:
		w.failed(measuring, m.err)
	default:
		w.worked(measuring)
		w.fill.observe(&w.o.Observe, m)
	}
	return nil
}

func (f *fillWatch) observe(o *Observe, m *measured) {
	switch fill := m.stats.Fill(); {
	case !f.high && fill >= highWater:
		f.high = true
		if o.High != nil {
			o.High(m.stats)
		}
	case f.high && fill < lowWater:
		f.high = false
		if o.Low != nil {
			o.Low(m.stats)
		}
	}
	if m.own < 0 {
		return
	}
	n := m.stats.Quarantined - m.own - f.base
	f.base += n
	if n > 0 && f.measured && o.Corrupt != nil {
		o.Corrupt(n)
	}
	f.measured = true
}
