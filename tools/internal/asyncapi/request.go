package asyncapi

import (
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// role is the role of a message in an exchange. It is the suffix of the message's name
// in the document.
type role string

const (
	event   role = ""
	request role = ".request"
	reply   role = ".reply"
)

func roleOf(m *eventproto.Method) role {
	if m.Event() {
		return event
	}
	return request
}

// requesters is what the author of a requester needs to know.
const requesters = `A requester sends the response topic, which it is subscribed to, and correlation data, ` +
	`which the reply returns. The response topic must match one of x-mqtt-reply-topics, with the parameter values of the request's topic, or be ` +
	`inbox/ followed by a client id, / and a random UUID (version 4). Without a response topic, with another one, or beyond the requester's share of replies, the ` +
	`request is handled but not answered. If the service drops duplicates, a request with a repeated id is not answered. ` +
	`A reply with a statuscode is an error and has an empty payload. ` +
	`On MQTT 3.1.1 both sides send CloudEvents with the attributes responsetopic and correlationdata.`

// responseTopic is a pattern that all response topics match. The schema of a message
// cannot be more exact, because the topics depend on the operation.
const responseTopic = "^[^$+#][^+#]*$"

// replyTopics returns the templates of the response topics of a request.
func replyTopics(m *eventproto.Method) (texts []string) {
	if texts = m.Reply.Topics; len(texts) > 0 || len(m.Topics) == 0 {
		return texts
	}
	levels, wild := []string{"reply"}, 0
	for _, l := range m.Topics[0].Levels {
		switch {
		case l.Param != nil && l.Tail:
			levels = append(levels, "{"+strings.Join(l.Param, ".")+"=**}")
		case l.Param != nil:
			levels = append(levels, "{"+strings.Join(l.Param, ".")+"}")
		case l.Wild:
			levels = append(levels, "{"+strconv.Itoa(wild+1)+"}")
		default:
			continue
		}
		wild++
	}
	if wild == 0 {
		return nil
	}
	return []string{strings.Join(append(levels, "#"), "/")}
}

// headers describes the user properties that a message may have, and the MQTT 5
// properties that an exchange needs.
func headers(r role) *object {
	property := func(what string) *object { return newObject().set("type", "string").set("description", what) }
	properties := newObject()
	if r == reply {
		properties.set("statuscode", property("Kratos error code, like an HTTP status, 400 to 599. Absent if the request was handled.").set("pattern", "^[45][0-9][0-9]$")).
			set("statusreason", property("Kratos error reason.")).
			set("statusmessage", property("Text of the error."))
	} else {
		properties.set("id", property("Id of the message, the same for all of its deliveries."))
	}
	properties.set("traceparent", property("W3C trace context."))
	o := newObject().set("type", "object")
	switch r {
	case request:
		properties.set("responseTopic", property("MQTT 5 response topic: the topic of the reply.").set("pattern", responseTopic)).
			set("correlationData", property("MQTT 5 correlation data, which the reply returns."))
		o.set("required", []string{"responseTopic"})
	case reply:
		properties.set("correlationData", property("MQTT 5 correlation data of the request."))
	}
	return o.set("properties", properties)
}

func messageBinding(content string, r role) *object {
	o := newObject()
	if r == request {
		o.set("responseTopic", newObject().set("type", "string").set("pattern", responseTopic))
	}
	if r != event {
		o.set("correlationData", newObject().set("type", "string").set("contentEncoding", "base64"))
	}
	return o.set("contentType", content).set("bindingVersion", bindingVersion)
}
