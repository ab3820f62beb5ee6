package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// maxReason keeps an error text from making a letter too large.
const maxReason = 1 << 10

// letter is what a delivery has beside its message once it is kept, or about to
// be.
type letter struct {
	*deadletter.Letter
	told   bool            // the subscription knows
	doubt  bool            // the store refused this form once
	lost   bool            // the store takes no form
	result delivery.Result // of one that was parked
}

// attempts counts those of earlier deliveries of a parked message, too.
func (d *Delivery) attempts(n int) int {
	return n + d.before
}

// letterOf returns the letter of a delivery, made once: it keeps its id however
// often it is tried to store it. The delivery needs no subscription.
func (r *run) letterOf(d *Delivery) (*letter, error) {
	if d.letter != nil {
		return d.letter, nil
	}
	c := r.client
	id, err := c.ids.New()
	if err != nil {
		return nil, err
	}
	l := &deadletter.Letter{
		Message: envelope.Kept(d.Inbound), ID: id, Filter: d.Filter(), Key: heldName(d.order()), Service: c.cfg.Service, Received: d.task.Started(),
	}
	now := time.Now()
	if l.Received.IsZero() {
		l.Received = now
	}
	if l.Expiry > 0 {
		l.Expiry = max(time.Second, l.Expiry-now.Sub(l.Received))
	}
	if d.sub != nil && d.sub.EventID != nil {
		c.hook(func() { l.EventID = d.sub.EventID(d) })
	}
	l.Omitted = omitted(d.Inbound)
	d.letter = &letter{Letter: l}
	return d.letter, nil
}

// omitted is what of a message was not taken when it arrived.
func omitted(m *session.Inbound) (o deadletter.Omitted) {
	if m.Oversize > 0 {
		o.Size, o.SHA256 = int64(m.Skipped()), hex.EncodeToString(m.Digest())
	}
	o.More = m.IllFormed() != nil || m.Cut()
	return o
}

// fill says why and how the letter is written this time.
func (l *letter) fill(state deadletter.State, cause error, attempts int) {
	l.State, l.Attempts, l.Time = state, attempts, time.Now()
	if cause != nil {
		l.Reason = reason(cause)
	}
}

// deliver makes the delivery of a parked letter.
func (l *lot) deliver(kept *deadletter.Letter, before int) *Delivery {
	d := &Delivery{sub: l.sub, key: kept.Key, letter: &letter{Letter: kept}, before: kept.Attempts + before}
	d.Inbound = &session.Inbound{
		Topic: kept.Topic, Payload: kept.Payload, QoS: kept.QoS, Retain: kept.Retain, Duplicate: true,
		Properties: envelope.Outgoing(&kept.Message).Properties,
	}
	l.flow.Prepare(&d.task, d, nil)
	return d
}

// put stores the letter, in a smaller form when the store does not take it as it
// is. Where it takes none the letter is lost, which is told: to wait for it
// would stop everything behind it for good. While the store fails or is full the
// client's health says so.
func (r *run) put(ctx context.Context, d *Delivery) error {
	for {
		err := r.client.store.Put(ctx, d.letter.Letter)
		if err == nil {
			r.stored(d)
			return nil
		}
		if errors.Is(err, deadletter.ErrShare) && !r.client.cfg.BlockOverShare {
			if d.letter.State == deadletter.Parked {
				return fmt.Errorf("%w: %w", errUnfit, err)
			}
			if smaller := d.letter.Smaller(); smaller != nil && errors.Is(err, deadletter.ErrUnfit) {
				d.letter.Letter = smaller
				continue
			}
			r.overShare(d, err)
			return nil
		}
		if errors.Is(err, deadletter.ErrShare) || !r.unfit(d, err) {
			err = fmt.Errorf("dead-letter store: %w", err)
			r.troubles.set(d, err)
			return fmt.Errorf("%w: %w", delivery.ErrAgain, err)
		}
		if d.letter.State == deadletter.Parked {
			return errUnfit // it becomes a dead letter first
		}
		smaller := d.letter.Smaller()
		if smaller == nil {
			r.lose(d, err)
			return nil
		}
		r.client.letterLog.sayOf(d, func(others string) {
			r.client.log.Warnf("mqtt: dead letter %s is kept smaller, without %v: topic %q%s: %v", d.letter.ID, smaller.Omitted, d.Topic, others, err)
		})
		d.letter.Letter, d.letter.doubt = smaller, false
	}
}

// errUnfit is that of a message that cannot be parked as it is.
var errUnfit = errors.New("the store does not take the message as it is")

// unfit reports whether a store would refuse the letter later, too. What ends
// the connection, or is refused without a better reason, has to be so twice: it
// may have been something else.
func (r *run) unfit(d *Delivery, err error) bool {
	if !errors.Is(err, deadletter.ErrUnfit) {
		return false
	}
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != session.ReasonRefused || e.Convicted || d.letter.doubt {
		return true
	}
	d.letter.doubt = true
	return false
}

func (r *run) stored(d *Delivery) {
	r.troubles.clear(d)
	if d.letter.Omitted != (deadletter.Omitted{}) && d.letter.State == deadletter.Dead {
		r.client.counts.lettersCut.Add(1)
	}
}

// lose gives up a letter that its store takes in no form.
func (r *run) lose(d *Delivery, err error) {
	c := r.client
	r.troubles.clear(d)
	d.letter.lost = true
	c.counts.lettersLost.Add(1)
	c.counts.discarded.Add(1)
	c.letterLog.sayOf(d, func(others string) {
		c.log.Errorf("mqtt: message discarded, as its store takes no letter of it in any form: topic %q, %v, reason %q%s: %v",
			d.Topic, d.letter.Omitted, d.letter.Reason, others, err)
	})
}

// overShare gives up a letter for which its origin has no room left: to wait for it
// would let one sender stop all others.
func (r *run) overShare(d *Delivery, err error) {
	c := r.client
	r.troubles.clear(d)
	d.letter.lost = true
	c.counts.discarded.Add(1)
	if n := c.counts.lettersOverShare.Add(1); c.overShareLog.Due(time.Now()) {
		c.log.Errorf("mqtt: message discarded, as letters of its origin have taken its share of their store (%d so far; said once a minute): origin %q, topic %q, reason %q: %v",
			n, d.letter.Origin(), d.Topic, d.letter.Reason, err)
	}
}

// retractTimeout bounds the deletion of a letter that was not needed.
const retractTimeout = 5 * time.Second

// retract deletes the letter of a message that was handled after all: its
// store may have it although it said no.
func (r *run) retract(d *Delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), retractTimeout)
	defer cancel()
	if err := r.client.store.Delete(ctx, d.letter.ID); err != nil {
		r.client.topicLog.sayOf(d, func(others string) {
			r.client.log.Warnf("mqtt: topic %q was handled, its letter %s may be left%s: %v", d.Topic, d.letter.ID, others, err)
		})
	}
}

// reason makes an error fit for a store and a log.
func reason(err error) string { return shorten(logsafe.Line(shorten(err.Error()))) }

func shorten(text string) string {
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "")
	}
	return text
}
