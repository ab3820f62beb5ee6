package faultmatrix_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// load is many messages in flight from one goroutine, and the outcome of each.
type load struct {
	p       *publisher
	witness *witness // nil if no witness is used
	ctx     context.Context
	pending sync.WaitGroup

	mu     sync.Mutex
	nils   int
	untrue []string // returned nil although no acknowledgement had been seen
	errs   []error
}

// load returns a load that has sent nothing yet.
func (p *publisher) load(w *witness) *load {
	return &load{p: p, witness: w, ctx: p.h.within(5 * time.Minute)}
}

// send publishes a message without waiting for its outcome.
func (l *load) send(topic string, payload []byte, opts ...event.CallOption) {
	id := idOf(payload)
	l.p.h.rec.Attempted(id)
	l.pending.Add(1)
	if err := l.p.send(l.ctx, topic, payload, func(err error) { l.told(id, err) }, opts...); err != nil {
		l.told(id, err)
	}
}

// sendAll publishes n messages, from id first on, over some topics.
func (l *load) sendAll(prefix string, first, n int, opts ...event.CallOption) {
	for i := first; i < first+n; i++ {
		l.send(fmt.Sprintf("%s/%d", prefix, i%8), []byte(id(i)), opts...)
	}
}

func (l *load) told(id string, err error) {
	defer l.pending.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	l.nils++
	if l.witness != nil && !l.witness.acknowledged(id) {
		l.untrue = append(l.untrue, id)
	}
	l.p.h.rec.Accepted(id)
}

// wait waits for all outcomes, and checks that every nil was justified.
func (l *load) wait() {
	l.p.h.Helper()
	l.pending.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.untrue) > 0 {
		l.p.h.Errorf("%d publishes returned nil without an acknowledgement, first %s", len(l.untrue), l.untrue[0])
	}
}

// progress returns the number of known outcomes.
func (l *load) progress() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nils + len(l.errs)
}

// succeeded checks that every outcome is nil.
func (l *load) succeeded() {
	l.p.h.Helper()
	l.wait()
	if len(l.errs) > 0 {
		l.p.h.Errorf("%d publishes failed, first: %v", len(l.errs), l.errs[0])
	}
}

// witness observes the packets between a publisher and its broker.
type witness struct {
	mu    sync.Mutex
	byID  map[uint16]string // the last message of each packet id
	acked map[string]bool   // a PUBACK or PUBCOMP was sent to the client
	sent  map[string]int    // PUBLISH packets of the client, including dropped ones
}

// watch attaches a witness to a proxy.
func watch(p *mqtttest.Proxy) *witness {
	w := &witness{byID: make(map[uint16]string), acked: make(map[string]bool), sent: make(map[string]int)}
	p.Observe(w.observe)
	return w
}

func (w *witness) observe(o mqtttest.Observed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case o.Direction == mqtttest.ToBroker && o.Type() == mqtttest.TypePublish:
		id := idOf(o.Payload())
		w.byID[o.ID()] = id
		w.sent[id]++
	case o.Direction == mqtttest.ToClient && !o.Dropped && (o.Type() == mqtttest.TypePuback || o.Type() == mqtttest.TypePubcomp):
		w.acked[w.byID[o.ID()]] = true
	}
}

func (w *witness) acknowledged(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked[id]
}

// packets returns the number of PUBLISH packets, and the number of repetitions.
func (w *witness) packets() (n, repeated int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.sent {
		n += k
	}
	return n, n - len(w.sent)
}

// wantReason checks the reason of an error and returns the error as an *event.Error.
func (h *harness) wantReason(err error, reasons ...event.Reason) *event.Error {
	h.Helper()
	e, ok := h.said.err(err).(*event.Error)
	if !ok {
		h.Fatalf("got %T %v, want an *event.Error", err, err)
	}
	if !slices.Contains(reasons, e.Reason) {
		h.Fatalf("got reason %s, want %v: %v", e.Reason, reasons, err)
	}
	return e
}
