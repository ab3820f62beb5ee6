package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// DeadLetters is the store that is in use.
func (c *Client) DeadLetters() deadletter.Store { return c.store }

// newRetained returns the store that is used without a chosen one.
func (c *Client) newRetained() *retained.Store {
	return retained.New(retained.Config{
		Service: c.cfg.Service, Keys: c.cfg.LetterKeys, Timeout: c.cfg.StoreTimeout, Log: c.log,
		Bounds:     deadletter.Bounds{Letters: c.cfg.MaxLetters, Bytes: c.cfg.MaxLetterBytes, Share: c.cfg.LetterShare},
		Subscribes: c.Subscribes, Protocol: c.Protocol,
		Publish: func(ctx context.Context, m *Message) error {
			r := c.publishing()
			if r == nil {
				return c.absence()
			}
			return r.publish(ctx, m)
		},
		Open: func(sink session.Sink, maxPacket int) (*session.Session, error) {
			r := c.publishing()
			if r == nil {
				return nil, c.absence()
			}
			return r.reading(readerWord, sink, maxPacket)
		},
	})
}

// newParking returns where the run keeps what no handler took.
func (r *run) newParking() *parking.Parking {
	c := r.client
	s := parking.Settings{
		Store: c.store, Service: c.cfg.Service, ClientID: c.cfg.ClientID, Topic: c.cfg.DeadLetterTopic, Keys: c.cfg.LetterKeys,
		StoreTimeout: c.cfg.StoreTimeout, BlockOverShare: c.cfg.BlockOverShare, ParkLimit: c.cfg.ParkLimit, ReportEvery: c.cfg.ParkReport,
		Publish:  r.publish,
		Protocol: c.Protocol, Orphan: func(k *parking.Kept) parking.Delivery { return unparked(k, 0) },
		Log: c.log, Call: c.calls.call, Held: c.cfg.Hooks.Held,
	}
	if h := c.cfg.Hooks.DeadLettered; h != nil {
		s.DeadLettered = func(d parking.Delivery, id, to string, attempts int, cause error) {
			h(ours(d), id, to, attempts, cause)
		}
	}
	if h := c.cfg.Hooks.Parked; h != nil {
		s.Parked = func(d parking.Delivery, id, key string, attempts int, cause error) {
			h(ours(d), id, key, attempts, cause)
		}
	}
	if h := c.cfg.Hooks.Retrying; h != nil {
		s.Retrying = func(d parking.Delivery, attempt int, after time.Duration, err error) { h(ours(d), attempt, after, err) }
	}
	return parking.New(s, &c.parked)
}

// ours returns a delivery that was handed to the parking.
func ours(d parking.Delivery) *Delivery { return d.(*Delivery) } //nolint:forcetypeassert // no other is

// deadLetter has a message stored as a dead letter.
func (r *run) deadLetter(ctx context.Context, d *Delivery, cause error, attempts int) error {
	return r.parking.Put(ctx, d, cause, attempts)
}

// unparked makes the delivery of a parked message.
func unparked(k *parking.Kept, before int) *Delivery {
	return &Delivery{Inbound: envelope.Arrived(&k.Message), key: k.Key, kept: k, before: k.Letter.Attempts + before}
}

// newBacklog returns where the messages of a subscription are parked, and how they are
// handled again.
func (r *run) newBacklog(s *Subscription) (*parking.Backlog, error) {
	var flow *delivery.Attempts[*Delivery]
	b := s.at.backlogs.Subscribe(parking.Subscription{
		Filter: s.Filter, Lane: s.lane, Shares: s.levels > 0, MaxAttempts: s.parkBound(), Backoff: s.Backoff, MaxBackoff: s.MaxBackoff,
		Deliver: func(k *parking.Kept, before int) (parking.Delivery, delivery.Task) {
			d := unparked(k, before)
			d.sub = s
			flow.Prepare(&d.task, d, nil)
			return d, &d.task
		},
	}, r.client.owner(s))
	policy := r.policy(s)
	policy.MaxAttempts, policy.Exhausted, policy.Observer = 1, event.ExhaustedPark, r.observer()
	policy.Park = func(ctx context.Context, d *Delivery, cause error, attempts int) error {
		return b.ParkAgain(ctx, d, cause, attempts)
	}
	policy.Observer.Finished = func(d *Delivery, o delivery.Outcome) { b.Finished(d, o) }
	var err error
	flow, err = delivery.NewAttempts(s.handle, policy)
	return b, err
}

// cannotPark says why a subscription's messages are not parked; nil if they
// are.
func (c *Client) cannotPark(s *Subscription) error {
	if err := parking.CannotPark(c.store, c.cfg.ClientID); err != nil {
		return err
	}
	if s.ManualAck {
		return errors.New("messages that are acknowledged by hand cannot be parked, as parking acknowledges them: want automatic acknowledgement, or another exhausted than park")
	}
	return nil
}

// owner names the one that holds the parked messages of a subscription. The client's
// lock is held.
func (c *Client) owner(s *Subscription) string {
	all := c.same[s.Filter]
	place := slices.Index(all, s)
	if place < 0 {
		// Is about to be registered. The places of those that were taken back are
		// their heirs'.
		for place = len(all); slices.ContainsFunc(all, func(x *Subscription) bool { return x.backlog.Has(c.ownerAt(place)) }); {
			place++
		}
	}
	return c.ownerAt(place)
}

func (c *Client) ownerAt(place int) string { return parking.Owner(c.cfg.ClientID, place) }

// heir is the backlog that goes on with what another one parked whose handler was
// taken back: to replace a handler, the new one is registered first. It is nil
// when nothing is parked, or there is no other handler on the filter. The lock is
// held.
func (c *Client) heir(s *Subscription) *parking.Backlog {
	if s.backlog.Empty() {
		return nil
	}
	for _, other := range c.same[s.Filter] {
		if other.backlog != nil {
			other.backlog.Inherit(s.backlog.Owners()...)
			return other.backlog
		}
	}
	return nil
}

// The methods of a delivery that the parking asks.
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
func (d *Delivery) Attempts(n int) int { return n + d.before }

// Kept implements [parking.Delivery].
func (d *Delivery) Kept() *parking.Kept { return d.kept }

// Keep implements [parking.Delivery].
func (d *Delivery) Keep(k *parking.Kept) { d.kept = k }

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

// checkRetained tests a chosen store before it is needed, until that goes well.
func (r *run) checkRetained(ctx context.Context) {
	if r.main().WaitReady(ctx) == nil {
		r.parking.Ensure(ctx)
	}
}
