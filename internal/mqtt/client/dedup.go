package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// deduper keeps a subscription from handling a message again whose id is in the window.
type deduper struct {
	window  dedup.Window
	batches dedup.BatchWindow // the window, or nil if it does not support batches
	scope   string
	span    bool                      // ids are unique over topics
	levels  func(topic string) string // levels that ids never span; may be nil
	guard   int                       // number of topic levels that ids belong to; 0 means all
	silent  sync.Once
}

// claim registers the consumer with those that detect duplicates, if there is a window.
// Messages with manual acknowledgement are never suppressed, because they are done
// later than their handler.
func (c *consumer) claim(client *Client) (release func(), err error) {
	own, none := c.typed, func() {}
	if own.IDField != "" {
		var body any
		if own.New != nil {
			body = own.New()
		}
		if c.field, err = envelope.NewIDField(own.IDField, body); err != nil {
			return none, err
		}
	}
	window, filter := client.cfg.Dedup, c.sub.Filter
	if window == nil || c.sub.ManualAck {
		return none, nil
	}
	batches, ok := window.(dedup.BatchWindow)
	if own.Batch != nil && !ok {
		client.log.Warn("mqtt: messages handled in batches are not looked for in the dedup window, which takes no batches (dedup.BatchWindow)", logsafe.KeyFilter, filter, logsafe.KeyValue, fmt.Sprintf("%T", window))
		return none, nil
	}
	c.dedup = &deduper{window: window, batches: batches, span: own.IDsSpanTopics, guard: topic.GuardedLevels(filter)}
	if own.Method != nil {
		c.dedup.levels = own.Method.Levels
	}
	scopes, service := &client.lasting.scopes, client.cfg.Service
	if own.IDScope == nil {
		c.dedup.scope, release = scopes.claim(service, filter)
		return release, nil
	}
	if own.IDScope.name == "" { // its scope stays reserved for the other filters
		own.IDScope.name, _ = scopes.claim(service, filter)
	}
	c.dedup.scope = own.IDScope.name
	return none, nil
}

// IDScope makes the subscriptions of one method share their ids. The zero value is ready;
// its subscriptions must be made one after the other.
type IDScope struct{ name string }

// once runs effect unless the message is a duplicate. A message without an id is never a
// duplicate.
func (c *consumer) once(ctx context.Context, m *Delivery, effect func(context.Context) error) error {
	d := c.dedup
	id := m.ID()
	if id == "" {
		c.withoutID(m)
		return effect(ctx)
	}
	duplicate, err := d.window.Once(ctx, d.key(&m.Event, id), effect)
	switch {
	case err == nil && duplicate:
		c.duplicate(m, id)
		trace.SpanFromContext(ctx).AddEvent(semconv.DuplicateEvent) // its handler was not called
	case err != nil && !m.begun:
		return whileRunning(m, err)
	}
	return err
}

// whileRunning makes a message wait while its id is handled elsewhere, without counting an
// attempt or holding a worker. Other errors of a window are errors of the attempt.
func whileRunning(d *Delivery, err error) error {
	if !errors.Is(err, dedup.ErrRunning) {
		return err
	}
	later := &LaterError{Err: err}
	if running, ok := errors.AsType[*dedup.RunningError](err); ok {
		later.OnEnd = running.OnEnd
	}
	d.Waited = true
	return later
}

// longID is the maximum length of ids that are stored unchanged.
const longID = 128

// key returns the key under which the window stores an id: the owner of the id, then
// the id in the scope of the subscription, within its topic, which is what access rules
// protect, and within its CloudEvent's source. Ids come from any publisher, so an id
// that a store might not accept is hashed.
func (d *deduper) key(e *envelope.Event, id string) string {
	plain := len(id) <= longID
	for i := 0; plain && i < len(id); i++ {
		plain = id[i] > ' ' && id[i] < 0x7F
	}
	if !plain {
		sum := sha256.Sum256([]byte(id))
		id = "sha256:" + hex.EncodeToString(sum[:])
	}
	var buf [256]byte
	key := d.origin(buf[:0], e.Topic)
	key = append(key, d.scope...)
	if place := d.place(e); place != "" {
		key = append(key, '/')
		key = append(key, place...)
	}
	key = append(key, ':')
	return string(append(key, id...))
}

// origin begins a key with what has a share of the window: the part of the topic that
// access rules guard, hashed to a fixed length, and a slash. For ids that span topics it is
// the scope, which follows, or the levels that separate tenants.
func (d *deduper) origin(key []byte, of string) []byte {
	if d.span && d.levels == nil {
		return key
	}
	var buf [256]byte
	name, levels := buf[:0], d.guard
	if d.span {
		name = append(append(name, d.scope...), 0) // in no topic
		of, levels = d.levels(of), 0
	}
	sum := sha256.Sum256(append(name, topic.Guarded(of, levels)...))
	return append(hex.AppendEncode(key, sum[:8]), '/')
}

// place returns where ids are unique, in a form of fixed length; "" means everywhere.
func (d *deduper) place(e *envelope.Event) string {
	within, source := e.Topic, e.Source()
	if d.span {
		if within = ""; d.levels != nil {
			within = d.levels(e.Topic)
		}
	}
	if within == "" && source == "" {
		return ""
	}
	var buf [256]byte
	text := append(buf[:0], within...)
	text = append(text, 0) // in no topic
	sum := sha256.Sum256(append(text, source...))
	return hex.EncodeToString(sum[:16])
}

func (c *consumer) duplicate(d *Delivery, id string) {
	client := c.client.Load()
	client.lasting.duplicates.Add(1)
	if f := client.cfg.Hooks.Duplicate; f != nil {
		client.calls.apart(func() { f(event.DuplicateInfo{Delivery: d.Info(d.Attempt()), ID: id}) })
	}
}

func (c *consumer) withoutID(d *Delivery) {
	client := c.client.Load()
	client.lasting.withoutID.Add(1)
	c.dedup.silent.Do(func() {
		client.log.Warn("mqtt: a message has no id, so that a duplicate of it cannot be known: logged once", logsafe.KeyFilter, c.sub.Filter, logsafe.KeyTopic, d.Topic)
	})
}

// scopes distinguishes subscriptions on the same filter, in the order of their
// registration, which is the same at each start.
type scopes struct {
	mu    sync.Mutex
	taken map[string][]bool // by filter
}

// claim returns the first free scope of a filter, and the function that releases it.
func (s *scopes) claim(service, filter string) (scope string, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = make(map[string][]bool)
	}
	places, n := s.taken[filter], 0
	for n < len(places) && places[n] {
		n++
	}
	if n == len(places) {
		places = append(places, false)
		s.taken[filter] = places
	}
	places[n] = true
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", service, filter, n))
	return hex.EncodeToString(sum[:8]), sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken[filter][n] = false
	})
}
