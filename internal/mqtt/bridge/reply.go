package bridge

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

const opReply = "reply"

// Replier answers the requests of one subscription.
type Replier struct {
	broker *Broker
	own    ReplierSettings
	wild   wildcards
	topics []replyTopic // of the method, else the standard ones
	hidden logsafe.PerMinute
	unsent logsafe.PerMinute
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
	origin      uint64 // who may have many topics of requests; 0 where they have one
	refused     error  // its response topic is; nothing is sent
}

// Answer returns the reply that a message asks for, nil when it asks for none. body
// is the decoded message; nil when it cannot be decoded.
func (r *Replier) Answer(e *Event, body any) *Answer {
	to, correlation := e.Reply()
	if to == "" {
		return nil
	}
	a := &Answer{of: r, event: e, topic: to, correlation: correlation}
	if err := r.check(e.Topic(), to, body); err != nil {
		a.refused = &event.Error{Op: opReply, Topic: clip(to), Reason: event.ReasonBadTopic, Cause: err}
		return a
	}
	requester := []string{e.Topic()}
	if len(r.wild.at) == 0 { // everybody sends there
		requester = append(requester, to[:strings.LastIndexByte(to, '/')+1])
	}
	a.requester = r.broker.replies.key(requester...)
	if len(r.wild.at) > 1 || r.wild.tail {
		a.origin = r.broker.replies.key("", topic.Guarded(e.Topic(), r.wild.at[0]+1)) // no topic is empty
	}
	return a
}

// check reports why nothing is published to a response topic, which is whatever the
// sender of the request wrote there.
func (r *Replier) check(request, topic string, body any) error {
	s := r.broker.state()
	if err := s.replyLimits.check(topic); err != nil {
		return err
	}
	if err := client.ValidateTopic(topic); err != nil {
		return err
	}
	if isInbox(topic) {
		return nil
	}
	allowed := []string{client.InboxPrefix + "<client id>/<random UUID>"}
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
