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

// Delivery is a message on its way through one handler, as far as it has to be known
// here. It is a pointer, or another value that can be compared.
type Delivery interface {
	// Message is what arrived.
	Message() *session.Inbound
	// Filter is the topic filter of the subscription; "" is none.
	Filter() string
	// Info returns which message it is, as hooks are told.
	Info(attempt int) event.Delivery
	// Order is the key that the message belongs to; "" is none.
	Order() string
	// Started is when the first attempt began; zero when there was none.
	Started() time.Time
	// Attempts adds those of earlier deliveries of a parked message.
	Attempts(n int) int
	// Kept is what Keep was given; nil is nothing.
	Kept() *Kept
	// Keep takes what belongs to the message from now on.
	Keep(k *Kept)
	Wishes
}

// Wishes are what the subscription of a message has to say of its dead letter.
type Wishes interface {
	// EventID is that of the event in the message; "" is none.
	EventID() string
	// DeadLetterTopic is where a dead letter is published besides its store; def is
	// what it is without a choice of the subscription, and "" is nowhere.
	DeadLetterTopic(def string) (string, error)
	// OnDeadLetter tells the subscription, before the message is a dead letter.
	OnDeadLetter(ctx context.Context, cause error)
}

// Kept is what a message has besides, once it is kept or about to be.
type Kept struct {
	*deadletter.Letter
	told    bool            // the subscription knows
	refused bool            // the store did not take this form once
	lost    bool            // the store takes no form
	result  delivery.Result // of one that was parked
}

// NewKept returns what a message has that was parked.
func NewKept(l *deadletter.Letter) *Kept { return &Kept{Letter: l} }

// keep returns what a delivery has, made once: a dead letter keeps its id however often
// it is tried to store it.
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
	l.Call(func() { dead.EventID = d.EventID() })
	dead.Omitted = omitted(m)
	k := NewKept(dead)
	d.Keep(k)
	return k, nil
}

// omitted is what of a message was not taken when it arrived.
func omitted(m *session.Inbound) (o deadletter.Omitted) {
	if m.Oversize() > 0 {
		o.Size, o.SHA256 = int64(m.Skipped()), hex.EncodeToString(m.Digest())
	}
	o.More = m.IllFormed() != nil || m.Cut()
	return o
}
