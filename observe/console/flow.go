package console

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Directions of a flow.
const (
	process = "process"
	send    = "send"
)

// maxFlows bounds the operations that are remembered. What is beyond shares the flow without a
// name.
const maxFlows = 256

// flow is an operation, or the filter or template of what has none, and its direction.
type flow struct{ operation, destination, direction string }

// flows has a series for each flow. The zero value is ready for use.
type flows struct {
	known sync.Map // flow to *series
	count atomic.Int64
	rest  [2]series // of what is beyond the bound, by direction
}

// of returns the series of a flow.
func (f *flows) of(key flow) *series {
	if s, ok := f.known.Load(key); ok {
		return s.(*series) //nolint:forcetypeassert // nothing else is stored
	}
	if f.count.Load() >= maxFlows {
		if key.direction == process {
			return &f.rest[0]
		}
		return &f.rest[1]
	}
	s, known := f.known.LoadOrStore(key, new(series))
	if !known {
		f.count.Add(1)
	}
	return s.(*series) //nolint:forcetypeassert // nothing else is stored
}

// handles returns the series of the handler of a message.
func (f *flows) handles(d *event.Delivery) *series {
	name := d.Operation
	if name == "" {
		name = d.Filter
	}
	return f.of(flow{name, d.Filter, process})
}

// flowReport is api/flow.
type flowReport struct {
	Now        int64            `json:"now"` // the last full second, Unix time
	Operations []operationState `json:"operations"`
}

// operationState is what the page shows of a flow.
type operationState struct {
	Operation   string `json:"operation"`
	Destination string `json:"destination"`
	Direction   string `json:"direction"`
	// Rate is that of the last full second; the times are those of the last 10 s.
	Rate        uint32  `json:"rate"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	Age         float64 `json:"age_ms"`
	Waiting     int     `json:"waiting"`
	Total       int64   `json:"total"`
	Errors      int64   `json:"errors"`
	Retries     int64   `json:"retries"`
	DeadLetters int64   `json:"dead_letters"`
	Parked      int64   `json:"parked"`
	Series      *past   `json:"series,omitempty"`
}

// past has a value for each of the last seconds, oldest first.
type past struct {
	Rate []uint32  `json:"rate"`
	P99  []float32 `json:"p99_ms"`
}

// report returns the state of each flow, in the order of names, with the last five minutes if
// whole. waiting has the number of messages that wait, by name of a subscription.
func (f *flows) report(now time.Time, whole bool, waiting map[string]int) flowReport {
	r := flowReport{Now: now.Unix() - 1, Operations: []operationState{}}
	add := func(key flow, s *series) {
		state := s.state(now, whole)
		state.Operation, state.Destination, state.Direction = key.operation, key.destination, key.direction
		if key.direction == process {
			state.Waiting = waiting[key.operation]
		}
		r.Operations = append(r.Operations, state)
	}
	f.known.Range(func(key, s any) bool {
		add(key.(flow), s.(*series)) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	for i, direction := range []string{process, send} {
		if f.rest[i].total.Load() > 0 {
			add(flow{direction: direction}, &f.rest[i])
		}
	}
	slices.SortFunc(r.Operations, func(a, b operationState) int {
		return cmp.Or(cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Destination, b.Destination))
	})
	return r
}
