package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// qos sends and receives a message of each QoS.
func qos(ctx context.Context, e *exam) (Finding, error) {
	f := Finding{Grade: OK, Result: "0, 1 and 2 are delivered as they are sent", Values: map[string]any{}}
	var less []string
	for level := range byte(3) {
		got, err := e.level(ctx, level)
		if err != nil {
			return f, err
		}
		f.Values[fmt.Sprintf("qos_%d", level)] = got
		if got != strconv.Itoa(int(level)) {
			less = append(less, fmt.Sprintf("QoS %d: %s", level, got))
		}
	}
	if len(less) > 0 {
		f.Grade, f.Result = Limited, strings.Join(less, "; ")
		f.Advice = "declare no QoS that the broker does not deliver: what is sent at QoS 2 is at least once here, so handlers need a dedup window"
	}
	return f, nil
}

// level returns the QoS at which a message of a QoS arrives, or what happens instead.
func (e *exam) level(ctx context.Context, level byte) (string, error) {
	topic := e.topic()
	sub, err := e.open(ctx)
	if err != nil {
		return "", err
	}
	defer sub.close()
	code, err := sub.subscribe(topic, level)
	if err == nil && code < wire.ReasonError {
		_, err = sub.say(topic, []byte("qos"), level, nil)
	}
	if refused, err := e.refusal(wire.TypeSuback, code, err); refused != "" || err != nil {
		return refused, err
	}
	if err := sub.settle(e.o.Quiet, 1); err != nil {
		return "", err
	}
	switch {
	case len(sub.arrived) == 0:
		return "nothing arrives", nil
	case code != level:
		return fmt.Sprintf("granted as %d, arrives as %d", code, sub.arrived[0].qos), nil
	case sub.arrived[0].qos != level:
		return fmt.Sprintf("arrives as %d", sub.arrived[0].qos), nil
	}
	return strconv.Itoa(int(level)), nil
}

// wildcards subscribes with + and #.
func wildcards(ctx context.Context, e *exam) (Finding, error) {
	base := e.topic()
	var lacking []string
	for _, c := range []struct {
		filter string
		topics []string
	}{
		{base + "/+/b", []string{base + "/a/b", base + "/c/b"}},
		{base + "/x/#", []string{base + "/x", base + "/x/y", base + "/x/y/z"}},
	} {
		filter, topics := c.filter, c.topics
		sub, pub, end, err := e.pair(ctx, filter, 1)
		if err != nil {
			return Finding{}, err
		}
		for _, topic := range topics {
			if _, err := pub.say(topic, []byte("wildcard"), 1, nil); err != nil {
				end()
				return Finding{}, err
			}
		}
		err = sub.settle(e.o.Quiet, len(topics))
		for _, topic := range topics {
			if len(sub.of(topic)) == 0 {
				lacking = append(lacking, fmt.Sprintf("%s does not match %s", strings.TrimPrefix(filter, base+"/"), strings.TrimPrefix(topic, base+"/")))
			}
		}
		end()
		if err != nil {
			return Finding{}, err
		}
	}
	if len(lacking) > 0 {
		return Finding{Grade: Missing, Result: strings.Join(lacking, "; "), Advice: "templates with parameters become filters with wildcards: this broker cannot serve them"}, nil
	}
	return Finding{Grade: OK, Result: "+ and # match"}, nil
}

// sharedMessages is how many messages a group receives.
const sharedMessages = 20

// shared has two members of a group count what they receive.
func shared(ctx context.Context, e *exam) (Finding, error) {
	f := Finding{Grade: Missing, Advice: "declare no group: two instances with one group would both receive nothing, or everything"}
	topic := e.topic()
	var members [2]*conn
	for i := range members {
		c, err := e.open(ctx)
		if err != nil {
			return f, err
		}
		defer c.close()
		code, err := c.subscribe("$share/doctor/"+topic, 1)
		if f.Result, err = e.refusal(wire.TypeSuback, code, err); f.Result != "" || err != nil {
			return f, err
		}
		members[i] = c
	}
	pub, err := e.open(ctx)
	if err != nil {
		return f, err
	}
	defer pub.close()
	for range sharedMessages {
		if _, err := pub.say(topic, []byte("shared"), 1, nil); err != nil {
			return f, err
		}
	}
	if err := errors.Join(members[0].settle(e.o.Quiet, sharedMessages), members[1].settle(e.o.Quiet, sharedMessages)); err != nil {
		return f, err
	}
	return judgeShared(f, len(members[0].arrived), len(members[1].arrived)), nil
}

func judgeShared(f Finding, first, second int) Finding {
	f.Values = map[string]any{"sent": sharedMessages, "first_member": first, "second_member": second}
	switch sum := first + second; {
	case sum == 0:
		f.Result = "granted, and delivers nothing"
	case first == sharedMessages && second == sharedMessages:
		f.Result = "granted, but every member receives every message"
	case sum != sharedMessages:
		f.Result = fmt.Sprintf("%d of %d messages are delivered", sum, sharedMessages)
	case first == 0 || second == 0:
		f.Grade, f.Result, f.Advice = Limited, "delivered, all messages to one member", "do not count on a group to spread load over instances here"
	default:
		f.Grade, f.Result, f.Advice = OK, "delivered, each message to one of two members", ""
	}
	return f
}

// headers sends the properties that a service uses.
func headers(ctx context.Context, e *exam) (Finding, error) {
	topic := e.topic()
	sub, pub, end, err := e.pair(ctx, topic, 1)
	if err != nil {
		return Finding{}, err
	}
	defer end()
	user, err := wire.AppendUser(nil, "name", "value")
	if err != nil {
		return Finding{}, err
	}
	_, err = pub.say(topic, []byte("{}"), 1, func(p *wire.Publish) {
		p.Props = wire.Properties{User: user, ContentType: []byte("application/json"), ResponseTopic: []byte(topic + "/reply"), CorrelationData: []byte("1")}
	})
	if err == nil {
		err = sub.settle(e.o.Quiet, 1)
	}
	if err != nil {
		return Finding{}, err
	}
	if len(sub.arrived) == 0 {
		return Finding{Grade: Missing, Result: "a message with properties does not arrive"}, nil
	}
	m, lost := sub.arrived[0], []string(nil)
	for _, c := range []struct {
		name  string
		there bool
	}{
		{"user properties", len(m.headers) == 1 && m.headers[0] == [2]string{"name", "value"}},
		{"content type", m.contentType == "application/json"},
		{"response topic", m.responseTopic == topic+"/reply"},
		{"correlation data", m.hasCorrelation},
	} {
		if !c.there {
			lost = append(lost, c.name)
		}
	}
	if len(lost) > 0 {
		return Finding{Grade: Missing, Result: "lost: " + strings.Join(lost, ", "), Advice: "use CloudEvents, which need no properties, for headers, trace context and requests"}, nil
	}
	return Finding{Grade: OK, Result: "user properties, content type, response topic and correlation data arrive"}, nil
}
