package parking

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
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
		k.Reason, k.ErrorType = logsafe.Text(cause.Error()), errorType(cause)
	}
}

// errorType returns what a letter has as its error type: the reason of a Kratos error or of
// ours, else the code of another status, else the type of the innermost error.
func errorType(err error) string {
	switch s := event.StatusOf(err); {
	case s.Reason != "":
		return logsafe.Clip(s.Reason)
	case s.Code != http.StatusInternalServerError:
		return strconv.Itoa(s.Code)
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}

// store stores a message, in a smaller form if the store refuses it as it is. If the store
// refuses every form the message is lost, and that is reported: waiting would stop
// everything behind it permanently. While the store fails or is full the client's health
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
		id, topic := k.ID, d.Message().Topic
		l.Log.Few("smaller letters", origin(d), func(more []any) {
			l.Log.Warn("mqtt: dead letter is kept smaller", append(more, logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic,
				logsafe.KeyLetterID, id, logsafe.KeyOmitted, fmt.Sprint(smaller.Omitted), logsafe.KeyError, err)...)
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
	l.totals.lostAt.Store(new(time.Now()))
	l.totals.Discarded.Add(1)
	topic, omitted, reason := d.Message().Topic, k.Omitted, k.Reason
	l.Log.Few("lost", origin(d), func(more []any) {
		l.Log.Error("mqtt: message discarded, as its store takes no dead letter of it in any form", append(more, logsafe.KeyFilter, d.Filter(),
			logsafe.KeyTopic, topic, logsafe.KeyOmitted, fmt.Sprint(omitted), logsafe.KeyReason, reason, logsafe.KeyError, err)...)
	})
}

// overShare discards a message whose origin has no room left in the store: waiting would
// let one sender stop all others.
func (l *DeadLetters) overShare(d Delivery, k *Kept, err error) {
	l.problems.clear(d)
	k.lost = true
	l.totals.Discarded.Add(1)
	l.totals.lostAt.Store(new(time.Now()))
	l.totals.OverShare.Add(1)
	from, topic, reason := k.Origin(), d.Message().Topic, k.Reason
	l.Log.Seldom("over share", func(more []any) {
		l.Log.Error("mqtt: message discarded, as dead letters of its origin have taken its share of their store", append(more, logsafe.KeyFilter, d.Filter(),
			logsafe.KeyTopic, topic, logsafe.KeyOrigin, from, logsafe.KeyTotal, l.totals.OverShare.Load(), logsafe.KeyReason, reason, logsafe.KeyError, err)...)
	})
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
		topic := d.Message().Topic
		l.Log.Few("letter left", origin(d), func(more []any) {
			l.Log.Warn("mqtt: message was handled, its dead letter may be left", append(more,
				logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic, logsafe.KeyLetterID, id, logsafe.KeyError, err)...)
		})
	}
}
