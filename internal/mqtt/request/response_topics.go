package request

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// OpReply is the operation in the error of a reply.
const OpReply = "reply"

// Replier describes whose requests are answered, and on which topics.
type Replier struct {
	// Operation is the method's, or the filter; Filter is the subscription's.
	Operation, Filter string
	// QoS of the replies.
	QoS byte
	// Topics are the method's templates of response topics; an empty list means the
	// standard one.
	Topics []string
	// Prefix returns the levels of a request's topic under which the method's topics are,
	// with a trailing slash. It may be nil.
	Prefix func(topic string) string
	// Param returns a parameter of a request's topic by its name, and Field a field of its
	// message, which is nil when it cannot be decoded. Both return "" for a missing value,
	// and may be nil.
	Param func(topic, name string) string
	Field func(body any, name string) string
}

// Rules are a service's settings for all its replies.
type Rules struct {
	// Topics are the allowed templates; nil means those of the methods.
	Topics []Template
	// Unbound are templates that need no parameter.
	Unbound []Template
	Limits  Limits
}

// ResponseTopics are the response topics that a replier may publish on.
type ResponseTopics struct {
	replier Replier
	wild    wildcards
	topics  []Template // of the method, else the standard ones
}

// NewResponseTopics returns an error for invalid templates; the result then allows none of
// the method's templates.
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

// Check returns BAD_TOPIC if a response topic, which the sender of the request chose, is
// not allowed. body is the decoded request, or nil if it cannot be decoded.
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
			levels = topics[i].text // names the missing parameter
		case topics[i].allows(response, prefix+levels):
			return nil
		case topics[i].below:
			levels += "/#"
		}
		allowed = append(allowed, logsafe.Clip(prefix+levels))
	}
	return fmt.Errorf("response topic is not allowed, want one of %q", allowed)
}

// param returns a parameter of the request's topic, by name or by the number of its
// wildcard.
func (t *ResponseTopics) param(request, name string) string {
	if t.replier.Param != nil {
		if v := t.replier.Param(request, name); v != "" {
			return v
		}
	}
	return t.wild.value(request, name)
}

// Requester identifies the clients that may publish a request, as far as the broker's
// access rules tell them apart.
type Requester struct {
	key    uint64
	origin uint64 // may have many topics of requests; 0 if it has only one
}

// Requester returns the requester of a request whose response topic is allowed.
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
