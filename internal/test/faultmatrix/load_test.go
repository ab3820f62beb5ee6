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

// load is many messages in flight from one goroutine, and what was told of
// each.
type load struct {
	p       *publisher
	witness *witness // nil: nobody looks
	ctx     context.Context
	pending sync.WaitGroup

	mu     sync.Mutex
	nils   int
	untrue []string // nil although no acknowledgement had passed
	errs   []error
}

// load starts with nothing sent.
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

// sendAll publishes n messages from id first on, over some topics.
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

// wait returns when every outcome is known, and judges that nil was the truth.
func (l *load) wait() {
	l.p.h.Helper()
	l.pending.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.untrue) > 0 {
		l.p.h.Errorf("%d publishes returned nil without an acknowledgement, first %s", len(l.untrue), l.untrue[0])
	}
}

// progress is how many outcomes are known.
func (l *load) progress() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nils + len(l.errs)
}

// succeeded wants every outcome to be nil.
func (l *load) succeeded() {
	l.p.h.Helper()
	l.wait()
	if len(l.errs) > 0 {
		l.p.h.Errorf("%d publishes failed, first: %v", len(l.errs), l.errs[0])
	}
}

// witness looks at the wire between a publisher and its broker.
type witness struct {
	mu    sync.Mutex
	byID  map[uint16]string // packet id to message, as last seen
	acked map[string]bool   // PUBACK or PUBCOMP went to the client
	sent  map[string]int    // PUBLISH packets of the client, dropped ones too
}

// watch puts a witness at a proxy.
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

// packets is how many PUBLISH packets there were, and repeated how many of them
// beyond the first of a message.
func (w *witness) packets() (n, repeated int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.sent {
		n += k
	}
	return n, n - len(w.sent)
}

// wantReason checks the reason of an error, and gives it.
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
