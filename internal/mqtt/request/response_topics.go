package request

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// OpReply is the operation of an error of a reply.
const OpReply = "reply"

// Replier says whose requests are answered, and where.
type Replier struct {
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

// Rules are what a service says of all its replies.
type Rules struct {
	// Topics are the templates that it publishes to; nil leaves it to the methods.
	Topics []Template
	// Unbound are those that need no parameter.
	Unbound []Template
	Limits  Limits
}

// ResponseTopics are those that a replier publishes to.
type ResponseTopics struct {
	replier Replier
	wild    wildcards
	topics  []Template // of the method, else the standard ones
}

// NewResponseTopics reports templates that are wrong; what it returns then allows none
// of the method's.
func NewResponseTopics(r Replier) (*ResponseTopics, error) {
	t := &ResponseTopics{replier: r, wild: wildcardsOf(r.Filter)}
	if len(r.Topics) == 0 {
		t.topics = t.wild.standard()
		return t, nil
	}
	topics, err := ParseTemplates(r.Topics, true)
	if err != nil {
		return t, &event.Error{Op: "subscribe", Topic: logsafe.Clip(r.Filter), Reason: event.ReasonBadRequest, Cause: err}
	}
	t.topics = topics
	return t, nil
}

// Check returns a BAD_TOPIC when nothing is published to a response topic, which is
// whatever the sender of the request wrote there. body is the decoded request; nil when
// it cannot be decoded.
func (t *ResponseTopics) Check(rules *Rules, request, response string, body any) error {
	if err := t.check(rules, request, response, body); err != nil {
		return &event.Error{Op: OpReply, Topic: logsafe.Clip(response), Reason: event.ReasonBadTopic, Cause: err}
	}
	return nil
}

func (t *ResponseTopics) check(rules *Rules, request, response string, body any) error {
	if err := rules.Limits.check(response); err != nil {
		return err
	}
	if err := topic.ValidateName(response); err != nil {
		return err
	}
	if isInbox(response) {
		return nil
	}
	allowed := []string{InboxPrefix + "<client id>/<random UUID>"}
	for i := range rules.Unbound {
		u := &rules.Unbound[i]
		if u.allows(response, strings.Join(u.levels, "/")) {
			return nil
		}
		allowed = append(allowed, u.text)
	}
	topics, prefix := t.topics, ""
	param := func(name string) string { return t.param(request, name) }
	value := param
	switch {
	case rules.Topics != nil:
		topics = rules.Topics
	case len(t.replier.Topics) > 0:
		if t.replier.Prefix != nil {
			prefix = t.replier.Prefix(request)
		}
		value = func(name string) string {
			if v := param(name); v != "" || t.replier.Field == nil || body == nil {
				return v
			}
			return t.replier.Field(body, name)
		}
	}
	for i := range topics {
		levels, ok := topics[i].boundTo(value)
		switch {
		case !ok:
			levels = topics[i].text // says which parameter there is none of
		case topics[i].allows(response, prefix+levels):
			return nil
		case topics[i].below:
			levels += "/#"
		}
		allowed = append(allowed, logsafe.Clip(prefix+levels))
	}
	return fmt.Errorf("response topic is not allowed, want one of %q", allowed)
}

// param is a parameter of the request's topic, by name or by the number of its
// wildcard.
func (t *ResponseTopics) param(request, name string) string {
	if t.replier.Param != nil {
		if v := t.replier.Param(request, name); v != "" {
			return v
		}
	}
	return t.wild.value(request, name)
}

// Requester is whoever may publish a request, as far as the broker's access rules say.
type Requester struct {
	key    uint64
	origin uint64 // has many topics of requests, perhaps; 0 where it has one
}

// Requester returns whose request it is. The response topic is an allowed one.
func (t *ResponseTopics) Requester(of *Replies, request, response string) (r Requester) {
	parts := []string{request}
	if len(t.wild.at) == 0 { // everybody sends there
		parts = append(parts, response[:strings.LastIndexByte(response, '/')+1])
	}
	r.key = of.requesters.key(parts...)
	if len(t.wild.at) > 1 || t.wild.tail {
		r.origin = of.requesters.key("", topic.Guarded(request, t.wild.at[0]+1)) // no topic is empty
	}
	return r
}
