package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// unparked makes the delivery of a parked message.
func unparked(k *parking.Kept, before int) *Delivery {
	k.Before = k.Letter.Attempts + before
	d := &Delivery{Event: envelope.Event{Inbound: envelope.Arrived(&k.Message)}, key: k.Key}
	d.Keep(k)
	return d
}

// The methods that parking needs of a delivery.
var _ parking.Delivery = (*Delivery)(nil)

// Message implements [parking.Delivery].
func (d *Delivery) Message() *session.Inbound { return d.Inbound }

// Order implements [parking.Delivery].
func (d *Delivery) Order() string {
	if d.key == "" && (d.sub == nil || d.sub.OrderingKey == nil) {
		return d.Topic
	}
	return d.key
}

// Started implements [parking.Delivery].
func (d *Delivery) Started() time.Time { return d.task.Started() }

// Attempts implements [parking.Delivery].
func (d *Delivery) Attempts(n int) int {
	if k := d.kept.Load(); k != nil {
		n += k.Before
	}
	return n
}

// Kept implements [parking.Delivery].
func (d *Delivery) Kept() *parking.Kept { return d.kept.Load() }

// Keep implements [parking.Delivery].
func (d *Delivery) Keep(k *parking.Kept) { d.kept.Store(k) }

// Operation implements [parking.Delivery].
func (d *Delivery) Operation() string {
	if d.sub == nil || d.sub.Typed == nil {
		return ""
	}
	return d.sub.Typed.Operation
}

// EventID implements [parking.Delivery].
func (d *Delivery) EventID() string {
	if d.sub == nil || d.sub.EventID == nil {
		return ""
	}
	return d.sub.EventID(d)
}

// DeadLetterTopic implements [parking.Delivery].
func (d *Delivery) DeadLetterTopic(def string) (string, error) {
	if d.sub == nil || d.sub.LetterTopic == nil {
		return def, nil
	}
	return d.sub.LetterTopic(d)
}

// OnDeadLetter implements [parking.Delivery].
func (d *Delivery) OnDeadLetter(ctx context.Context, cause error) {
	if d.sub != nil && d.sub.OnDeadLetter != nil {
		d.sub.OnDeadLetter(ctx, d, cause)
	}
}

// newRetained returns the store that is used if none is configured.
func newRetained(c *Client) *retained.Store {
	return retained.New(retained.Config{
		Service: c.cfg.Service, Keys: c.cfg.SigningKeys, Timeout: c.cfg.StoreTimeout, Log: c.log,
		Bounds:     deadletter.Bounds{Letters: c.cfg.MaxLetters, Bytes: c.cfg.MaxLetterBytes, Share: c.cfg.LetterShare},
		Subscribes: c.Subscribes, Protocol: c.Protocol,
		Publish: c.retention.publish,
		Reader:  c.retention.reader,
	})
}

// deadLetter stores a message as a dead letter.
func (f *flows) deadLetter(ctx context.Context, d *Delivery, cause error, attempts int) error {
	return f.parking.Put(ctx, d, cause, attempts)
}

// newBacklog returns the backlog in which the messages of a subscription are parked and
// handled again.
func (f *flows) newBacklog(s *Subscription, owner string) *parking.Backlog {
	s.parked = new(atomic.Pointer[delivery.Attempts[*Delivery]])
	return s.at.backlogs.Subscribe(parking.Subscription{
		Filter: s.Filter, Lane: s.lane, Shares: s.levels > 0,
		Deliver: func(k *parking.Kept, before int) (parking.Delivery, delivery.Task) {
			d := unparked(k, before)
			d.sub = s
			s.parked.Load().Prepare(&d.task, d, nil)
			return d, &d.task
		},
	}, s.parkRetries(), owner)
}

// parkedFlow returns the attempts of a subscription's handler at parked messages.
func (f *flows) parkedFlow(s *Subscription) (*delivery.Attempts[*Delivery], error) {
	policy, b := f.policy(s), s.backlog
	policy.MaxAttempts, policy.Exhausted, policy.Observer = 1, event.ExhaustedPark, f.observer()
	policy.Park = func(ctx context.Context, d *Delivery, cause error, attempts int) error {
		return b.ParkAgain(ctx, d, cause, attempts)
	}
	policy.Observer.Finished = func(d *Delivery, o delivery.Outcome) { b.Finished(d, o) }
	policy.Observer.Arrived = nil // it arrived before it was parked
	return delivery.NewAttempts(s.handle, policy)
}

// newParking returns the parking of a run.
func newParking(r *run) *parking.Parking {
	c := r.client
	s := parking.Settings{
		Store: c.store, Service: c.cfg.Service, ClientID: c.cfg.ClientID, Topic: c.cfg.DeadLetterTopic, Keys: c.cfg.SigningKeys,
		StoreTimeout: c.cfg.StoreTimeout, BlockOverShare: c.cfg.BlockOverShare, ParkLimit: c.cfg.ParkLimit, ReportEvery: c.cfg.ParkReport,
		Publish:  r.publish,
		Protocol: c.Protocol, Orphan: func(k *parking.Kept) parking.Delivery { return unparked(k, 0) },
		Log: c.log, Call: c.calls.apart,
		DeadLettered: c.cfg.Hooks.DeadLettered, Parked: c.cfg.Hooks.Parked, Retrying: c.cfg.Hooks.Retrying, Held: c.cfg.Hooks.Held,
	}
	return parking.New(s, &c.parked)
}
