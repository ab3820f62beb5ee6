package asyncapi

import (
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/eventproto"
)

// role is what a message is in an exchange; the name of a message in the
// document ends in it.
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

// requesters is what the author of a requester has to know.
const requesters = `A requester sends a response topic that it is subscribed to, and correlation data of its own choice, ` +
	`which comes back with the reply. The response topic is one of x-mqtt-reply-topics, with the values of the topic of the request, or ` +
	`inbox/, a client id and a random UUID (version 4). Without one, with another one, or beyond the requester's share of replies the ` +
	`request is handled and nothing is sent back. Where the service drops duplicates, a request that repeats an id gets no reply. ` +
	`A reply with a statuscode is an error; its payload is empty. ` +
	`On MQTT 3.1.1 both sides send CloudEvents with the attributes responsetopic and correlationdata.`

// responseTopic is the pattern of a topic that may be one: messages do not know
// their operations, which say which.
const responseTopic = "^[^$+#][^+#]*$"

// replyTopics are the response topics of a request, by templates.
func replyTopics(m *eventproto.Method) (texts []string) {
	for _, t := range m.Reply.Topics {
		texts = append(texts, t.Text)
	}
	if len(texts) > 0 || len(m.Topics) == 0 {
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

// headers are the user properties that a message may have, and the properties
// of MQTT 5 that an exchange needs.
func headers(r role) *object {
	property := func(what string) *object { return newObject().set("type", "string").set("description", what) }
	properties := newObject()
	if r == reply {
		properties.set("statuscode", property("Kratos' error code, as that of HTTP, 400 to 599. Absent when the request was handled.").set("pattern", "^[45][0-9][0-9]$")).
			set("statusreason", property("Kratos' error reason.")).
			set("statusmessage", property("Text of the error."))
	} else {
		properties.set("id", property("Id of the message, the same for every delivery of it."))
	}
	properties.set("traceparent", property("W3C trace context."))
	o := newObject().set("type", "object")
	switch r {
	case request:
		properties.set("responseTopic", property("MQTT 5 response topic: where the reply goes.").set("pattern", responseTopic)).
			set("correlationData", property("MQTT 5 correlation data: comes back with the reply."))
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
