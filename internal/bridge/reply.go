package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

const opReply = "reply"

// leastReplyTime is for how long a reply is tried that hardly anybody waits for any
// more: as long as it takes to find out that it is what ends connections.
const leastReplyTime = 3 * time.Second

// Replier answers the requests of one subscription.
type Replier struct {
	broker *Broker
	own    ReplierSettings
	wild   wildcards
	topics []replyTopic // of the method, else the standard ones
	hidden engine.PerMinute
}

// ReplierSettings say whose requests a [Replier] answers.
type ReplierSettings struct {
	// Operation is the method's, or the filter; Filter is the subscription's.
	Operation, Filter string
	// QoS of the replies.
	QoS byte
	// Topics are the method's templates of response topics; none is the standard.
	Topics []string
	// Prefix returns the levels of a request's topic, with a slash at their end,
	// that the method's topics are below; nil is none.
	Prefix func(topic string) string
	// Param returns a parameter of a request's topic by its name, and Field one of
	// its message, which is nil when it cannot be decoded; "" is none. Nil has none.
	Param func(topic, name string) string
	Field func(body any, name string) string
}

// NewReplier reports templates that are wrong; the replier that is there all the
// same has none.
func (b *Broker) NewReplier(own ReplierSettings) (*Replier, error) {
	r := &Replier{broker: b, own: own, wild: wildcardsOf(own.Filter)}
	if len(own.Topics) == 0 {
		r.topics = r.wild.standard()
		return r, nil
	}
	var err error
	if r.topics, err = parseReplyTopics(own.Topics, true); err != nil {
		r.topics = nil
		return r, badRequest("subscribe", own.Filter, err.Error())
	}
	return r, nil
}

// Answer is the reply that one request asks for.
type Answer struct {
	of          *Replier
	event       *Event
	topic       string
	correlation []byte
	requester   uint64
	refused     error // its response topic is; nothing is sent
}

// Answer returns the reply that a message asks for, nil when it asks for none. body
// is the decoded message; nil when it cannot be decoded.
func (r *Replier) Answer(e *Event, body any) *Answer {
	topic, correlation := e.reply()
	if topic == "" {
		return nil
	}
	a := &Answer{of: r, event: e, topic: topic, correlation: correlation}
	if err := r.check(e.Topic(), topic, body); err != nil {
		a.refused = &event.Error{Op: opReply, Topic: clip(topic), Reason: event.ReasonBadTopic, Cause: err}
		return a
	}
	requester := []string{e.Topic()}
	if len(r.wild.at) == 0 { // everybody sends there
		requester = append(requester, topic[:strings.LastIndexByte(topic, '/')+1])
	}
	a.requester = r.broker.replies.key(requester...)
	return a
}

// check reports why nothing is published to a response topic, which is whatever the
// sender of the request wrote there.
func (r *Replier) check(request, topic string, body any) error {
	s := r.broker.state()
	if err := s.replyLimits.check(topic); err != nil {
		return err
	}
	if err := engine.ValidateTopic(topic); err != nil {
		return err
	}
	if isInbox(topic) {
		return nil
	}
	allowed := []string{engine.InboxPrefix + "<client id>/<random UUID>"}
	for i := range s.unboundTopics {
		t := &s.unboundTopics[i]
		if t.allows(topic, strings.Join(t.levels, "/")) {
			return nil
		}
		allowed = append(allowed, t.text)
	}
	topics, prefix := r.topics, ""
	param := func(name string) string { return r.param(request, name) }
	value := param
	switch {
	case s.replyTopics != nil:
		topics = s.replyTopics
	case len(r.own.Topics) > 0:
		if r.own.Prefix != nil {
			prefix = r.own.Prefix(request)
		}
		value = func(name string) string {
			if v := param(name); v != "" || r.own.Field == nil || body == nil {
				return v
			}
			return r.own.Field(body, name)
		}
	}
	for i := range topics {
		levels, ok := topics[i].boundTo(value)
		switch {
		case !ok:
			levels = topics[i].text // says which parameter there is none of
		case topics[i].allows(topic, prefix+levels):
			return nil
		case topics[i].below:
			levels += "/#"
		}
		allowed = append(allowed, clip(prefix+levels))
	}
	return fmt.Errorf("response topic is not allowed, want one of %q", allowed)
}

// param is a parameter of the request's topic, by name or by the number of its
// wildcard.
func (r *Replier) param(topic, name string) string {
	if r.own.Param != nil {
		if v := r.own.Param(topic, name); v != "" {
			return v
		}
	}
	return r.wild.value(topic, name)
}

// workerTime is for how long a reply holds the worker of its handler: nearly all are
// acknowledged by then, and those that are not hold up nobody else's messages.
const workerTime = 50 * time.Millisecond

// maxWaitingBytes of replies wait without a worker. What comes beyond that keeps its
// own, so that nobody fills the memory with replies that do not go out.
const maxWaitingBytes = 16 << 20

// Send publishes the reply: body, in the codec of the request when its content type
// names one, or failure, as a status. A body that cannot be sent is a failure, too.
// It makes one attempt; the request is done after that. What cannot be delivered is
// counted and told, and is no error: the request has been handled. The error is that
// of a client that stops, where whoever gets the request next may answer it.
func (a *Answer) Send(ctx context.Context, body any, header []engine.UserProperty, failure error) error {
	status := a.status(failure)
	if a.refused != nil {
		a.of.broker.state().replyDropped(a, a.refused)
		return nil
	}
	sent := make(chan error, 1)
	a.of.broker.replies.attempts.start(func() { sent <- a.attempt(ctx, body, header, status) })
	wait := time.NewTimer(workerTime)
	defer wait.Stop()
	select {
	case err := <-sent:
		return err
	case <-wait.C:
	}
	if a.of.broker.replies.waiting.Load() > maxWaitingBytes {
		return <-sent
	}
	a.event.delivery.Await(func() bool {
		select {
		case err := <-sent:
			if err != nil {
				sent <- err // we stop, and what is not done is not acknowledged
			}
			return err == nil
		default:
			return false
		}
	})
	return nil
}

// attempt sends the reply. The error is that of a client that stops.
func (a *Answer) attempt(ctx context.Context, body any, header []engine.UserProperty, status *kerrors.Error) error {
	err := a.send(ctx, body, header, status)
	if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonClosed {
		return err
	}
	if err != nil {
		a.of.broker.state().replyDropped(a, err)
	}
	return nil
}

// status is a failure as the requester may know it; the log of the service has it
// in full when that is less.
func (a *Answer) status(failure error) *kerrors.Error {
	if failure == nil {
		return nil
	}
	k, hidden := forRequester(failure)
	if r := a.of; hidden && r.hidden.Due(time.Now()) {
		r.broker.state().log.Errorf("mqtt: %s failed, and its requester is told of an internal error, because this is no Kratos error (logged once a minute): %v",
			r.own.Operation, lineError{failure})
	}
	return k
}

func (a *Answer) send(ctx context.Context, body any, header []engine.UserProperty, status *kerrors.Error) error {
	s := a.of.broker.state()
	// An attempt whose time is up still has an answer to give.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.time(s))
	defer cancel()
	publish := func(own PublishSettings, body any) error {
		own.QoS, own.Correlation, own.answer, own.Direct = a.of.own.QoS, a.correlation, a, true
		return s.publish(ctx, a.topic, broker.NewMessage(body), PublishOption(func(p *PublishSettings) { *p = own }))
	}
	if status == nil {
		err := publish(PublishSettings{User: header, codec: pick(a.event.codec, a.event.ContentType(), body)}, body)
		if !unsendable(err) {
			return err
		}
		s.log.Errorf("mqtt: %s: the reply cannot be sent: %v", a.of.own.Operation, lineError{err})
		status, header = kerrors.InternalServer(reasonBadReply, "the reply cannot be sent"), nil
	}
	return publish(PublishSettings{User: append(slices.Clone(header), statusOf(status)...), noCodec: true}, []byte{})
}

// time is how long the one attempt may take: as long as the requester waits, but
// for a moment that is needed at least.
func (a *Answer) time(s *state) time.Duration {
	limit := s.timeout()
	if p := a.event.delivery.Properties; p != nil && p.Expiry > 0 {
		limit = min(limit, max(p.Expiry, leastReplyTime))
	}
	return limit
}

// transmit sends the reply within the share of its requester, who gets none for a
// while when it ended connections.
func (a *Answer) transmit(ctx context.Context, s *state, m *Message) error {
	replies := &a.of.broker.replies
	if err := replies.admit(a.requester, m.size(), &s.replyLimits, time.Now()); err != nil {
		return overLimit(a.topic, err)
	}
	size := int64(m.size())
	replies.waiting.Add(size)
	defer replies.waiting.Add(-size)
	err := public(opReply, m.Topic, s.client.Answer(ctx, &m.Message))
	if e, ok := errors.AsType[*event.Error](err); ok && e.Convicted && e.HeldFor == 0 {
		bar := replies.barred(a.requester, &s.replyLimits, time.Now())
		e.Cause = fmt.Errorf("its requester gets no reply for %v: %w", bar, e.Cause)
	}
	return err
}

// unsendable says that no attempt at publishing can succeed.
func unsendable(err error) bool {
	var e *event.Error
	return errors.As(err, &e) && (e.Reason == event.ReasonCodec || e.Reason == event.ReasonTooLarge || e.Reason == event.ReasonBadRequest)
}
