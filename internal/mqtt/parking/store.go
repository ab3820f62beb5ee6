package parking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// note records why and how the message is kept this time.
func (k *Kept) note(state deadletter.State, cause error, attempts int) {
	k.State, k.Attempts, k.Time = state, attempts, time.Now()
	if cause != nil {
		k.Reason = logsafe.Text(cause.Error())
	}
}

// store stores a message, in a smaller form if the store refuses it as it is. If the store
// refuses every form the message is lost, and that is reported: waiting would stop
// everything behind it for good. While the store fails or is full the client's health
// reports it.
func (l *DeadLetters) store(ctx context.Context, d Delivery, k *Kept) error {
	for {
		err := l.Store.Put(ctx, k.Letter)
		if err == nil {
			l.stored(d, k)
			return nil
		}
		if errors.Is(err, deadletter.ErrShare) && !l.BlockOverShare {
			if k.State == deadletter.Parked {
				return fmt.Errorf("%w: %w", errUnfit, err)
			}
			if smaller := k.Smaller(); smaller != nil && errors.Is(err, deadletter.ErrUnfit) {
				k.Letter = smaller
				continue
			}
			l.overShare(d, k, err)
			return nil
		}
		if errors.Is(err, deadletter.ErrShare) || !k.unfit(err) {
			err = fmt.Errorf("dead-letter store: %w", err)
			l.problems.set(d, err)
			return fmt.Errorf("%w: %w", delivery.ErrAgain, err)
		}
		if k.State == deadletter.Parked {
			return errUnfit // it becomes a dead letter first
		}
		smaller := k.Smaller()
		if smaller == nil {
			l.lose(d, k, err)
			return nil
		}
		l.totals.fates.Say(origin(d), func(others string) {
			l.Log.Warnf("mqtt: dead letter %s is kept smaller, without %v: topic %q%s: %v", k.ID, smaller.Omitted, d.Message().Topic, others, err)
		})
		k.Letter, k.refused = smaller, false
	}
}

// errUnfit is the error of a message that cannot be parked as it is.
var errUnfit = errors.New("the store does not take the message as it is")

// unfit reports whether a store would refuse the message again. An error that ends the
// connection, or has no specific reason, must occur twice: the cause may have been
// something else.
func (k *Kept) unfit(err error) bool {
	if !errors.Is(err, deadletter.ErrUnfit) {
		return false
	}
	if e, ok := errors.AsType[*event.Error](err); !ok || e.Reason != event.ReasonRefused || e.Convicted || k.refused {
		return true
	}
	k.refused = true
	return false
}

func (l *DeadLetters) stored(d Delivery, k *Kept) {
	l.problems.clear(d)
	if k.Omitted != (deadletter.Omitted{}) && k.State == deadletter.Dead {
		l.totals.Cut.Add(1)
	}
}

// lose discards a message that its store refuses in every form.
func (l *DeadLetters) lose(d Delivery, k *Kept, err error) {
	l.problems.clear(d)
	k.lost = true
	l.totals.Lost.Add(1)
	l.totals.Discarded.Add(1)
	l.totals.fates.Say(origin(d), func(others string) {
		l.Log.Errorf("mqtt: message discarded, as its store takes no dead letter of it in any form: topic %q, %v, reason %q%s: %v",
			d.Message().Topic, k.Omitted, k.Reason, others, err)
	})
}

// overShare discards a message whose origin has no room left in the store: waiting would
// let one sender stop all others.
func (l *DeadLetters) overShare(d Delivery, k *Kept, err error) {
	l.problems.clear(d)
	k.lost = true
	l.totals.Discarded.Add(1)
	if n := l.totals.OverShare.Add(1); l.totals.overShareLine.Due(time.Now()) {
		l.Log.Errorf("mqtt: message discarded, as dead letters of its origin have taken its share of their store (%d so far; said once a minute): origin %q, topic %q, reason %q: %v",
			n, k.Origin(), d.Message().Topic, k.Reason, err)
	}
}

// retractTimeout bounds the deletion of a dead letter that is not needed.
const retractTimeout = 5 * time.Second

// retract deletes the dead letter of a message that was handled after all: the store may
// have it although it returned an error.
func (l *DeadLetters) retract(d Delivery) {
	ctx, cancel := context.WithTimeout(context.Background(), retractTimeout)
	defer cancel()
	id := d.Kept().ID
	if err := l.Store.Delete(ctx, id); err != nil {
		l.totals.topics.Say(origin(d), func(others string) {
			l.Log.Warnf("mqtt: topic %q was handled, its dead letter %s may be left%s: %v", d.Message().Topic, id, others, err)
		})
	}
}
