package client

import (
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
)

// ReplierSettings say whose requests a [Replier] answers.
type ReplierSettings = request.Replier

// Replier answers the requests of one subscription.
type Replier struct {
	lasting *Lasting
	own     ReplierSettings
	topics  *request.ResponseTopics
}

func (l *Lasting) newReplier(own ReplierSettings) (*Replier, error) {
	topics, err := request.NewResponseTopics(own)
	return &Replier{lasting: l, own: own, topics: topics}, err
}

// Answer is the reply to one request.
type Answer struct {
	of          *Replier
	event       *Delivery
	topic       string
	correlation []byte
	requester   request.Requester
	refused     error // why its response topic is refused; then nothing is sent
}

// Answer returns the reply that a message asks for, or nil if it asks for none. body is the
// decoded message, or nil if it cannot be decoded.
func (r *Replier) Answer(d *Delivery, body any) *Answer {
	to, correlation := d.Reply()
	if to == "" {
		return nil
	}
	a := &Answer{of: r, event: d, topic: to, correlation: correlation}
	if a.refused = r.topics.Check(&r.lasting.Client().replies, d.Topic, to, body); a.refused == nil {
		a.requester = r.topics.Requester(&r.lasting.replies, d.Topic, to)
	}
	return a
}

// dropped counts and reports a reply that is not sent.
func (a *Answer) dropped(err error) {
	c := a.of.lasting.Client()
	c.lasting.replies.Drop(c.log, a.of.own.Operation, a.event.Topic, err)
	if !c.hooks.Replying() {
		return
	}
	info := event.ReplyDroppedInfo{Delivery: a.event.Info(a.event.Attempt()), ResponseTopic: logsafe.Clip(a.topic), Err: err}
	if e, ok := errors.AsType[*event.Error](err); ok {
		info.Reason = e.Reason
	}
	c.hooks.ReplyDropped(info)
}
