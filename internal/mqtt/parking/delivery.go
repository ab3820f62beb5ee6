package parking

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Delivery is a message on its way through one handler, as this package sees it. It is a
// pointer or another comparable value.
type Delivery interface {
	// Message is the message that arrived.
	Message() *session.Inbound
	// Filter is the topic filter of the subscription, or "" if there is no subscription.
	Filter() string
	// Info describes the message for hooks.
	Info(attempt int) event.Delivery
	// Order is the key of the message, or "" if it has no key.
	Order() string
	// Started is when the first attempt began; zero when there was none.
	Started() time.Time
	// Attempts returns n plus the attempts of earlier deliveries of a parked message.
	Attempts(n int) int
	// Kept returns the value of the last call of Keep, or nil before the first call.
	Kept() *Kept
	// Keep attaches k to the message.
	Keep(k *Kept)
	Wishes
}

// Wishes are the dead-letter settings of the subscription of a message.
type Wishes interface {
	// Operation is the name of the subscription's method, or "" if it has none.
	Operation() string
	// EventID is the id of the event in the message, or "" if it has no id.
	EventID() string
	// DeadLetterTopic is the topic on which a dead letter is published in addition to its
	// store, or "" for no topic; def is the default if the subscription has no setting.
	DeadLetterTopic(def string) (string, error)
	// OnDeadLetter notifies the subscription before the message becomes a dead letter.
	OnDeadLetter(ctx context.Context, cause error)
}

// Kept is the state of a message that is in the store, or about to be stored.
type Kept struct {
	*deadletter.Letter
	// Before is the number of attempts that earlier deliveries of a parked message made.
	// It does not change once the Kept belongs to a delivery.
	Before  int
	told    bool            // OnDeadLetter was called
	refused bool            // the store has refused the message in this form once
	lost    bool            // the store refuses the message in every form
	result  delivery.Result // of a message that was parked
}

// NewKept returns the state of a parked message.
func NewKept(l *deadletter.Letter) *Kept { return &Kept{Letter: l} }

// keep returns the Kept of a delivery, and creates it on the first call, so that a dead
// letter has the same id however often it takes to store it.
func (l *DeadLetters) keep(d Delivery) (*Kept, error) {
	if k := d.Kept(); k != nil {
		return k, nil
	}
	id, err := l.totals.ids.New()
	if err != nil {
		return nil, err
	}
	m := d.Message()
	dead := &deadletter.Letter{
		Message: envelope.Kept(m), ID: id, Filter: d.Filter(), Key: keyName(d.Order()), Service: l.Service, Received: d.Started(),
	}
	now := time.Now()
	if dead.Received.IsZero() {
		dead.Received = now
	}
	if dead.Expiry > 0 {
		dead.Expiry = max(time.Second, dead.Expiry-now.Sub(dead.Received))
	}
	dead.Replayed, dead.Operation = l.Keys.TakeReplayed(&dead.Message), d.Operation()
	l.Call(func() { dead.EventID = d.EventID() })
	dead.Omitted = omitted(m)
	k := NewKept(dead)
	d.Keep(k)
	return k, nil
}

// omitted returns the parts of a message that were dropped when it arrived.
func omitted(m *session.Inbound) (o deadletter.Omitted) {
	if m.Oversize() > 0 {
		o.Size, o.SHA256 = int64(m.Skipped()), hex.EncodeToString(m.Digest())
	}
	o.More = m.IllFormed() != nil || m.Cut()
	return o
}
