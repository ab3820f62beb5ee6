package eventproto

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
)

// qos checks a QoS; name is the name of its option.
func (l *loader) qos(d protoreflect.Descriptor, at []int32, name string, qos *uint32) {
	if qos != nil && *qos > 2 {
		l.reportf(d, at, "%s is %d, want 0, 1 or 2", name, *qos)
	}
}

// expiry checks an expiry, which MQTT transmits as seconds in 32 bits [MQTT5 3.3.2.3.3].
func (l *loader) expiry(d protoreflect.Descriptor, at []int32, expiry *durationpb.Duration) {
	if expiry == nil {
		return
	}
	if e := expiry.AsDuration(); e < time.Second || e%time.Second != 0 || e/time.Second > 1<<32-1 {
		l.reportf(d, at, "expiry is %v, want whole seconds from 1 to 4294967295", e)
	}
}

func (l *loader) codec(d protoreflect.Descriptor, at []int32, name string) {
	if name != "" && !slices.Contains(l.codecs, name) {
		l.reportf(d, at, "unknown codec %q, want one of %s; declare a codec of your own with the plugin parameter codecs=%s",
			name, strings.Join(l.codecs, ", "), name)
	}
}

func (l *loader) group(d protoreflect.Descriptor, at []int32, name string) {
	for _, r := range name {
		if strings.ContainsRune("/+#", r) || control(r) {
			l.reportf(d, at, "group %q contains %q, want one topic level without /, +, # and control characters [MQTT-4.8.2-2]", name, r)
			return
		}
	}
	if err := identity.Check(name, identity.ForGroup()); err != nil {
		l.reportf(d, at, "group %q %v", name, err)
	}
}

// partitions refuses topics with partitions whose messages have no key to choose one by.
func (l *loader) partitions(m *Method) {
	for _, t := range m.Topics {
		if slices.ContainsFunc(t.Levels, func(v Level) bool { return v.Partition }) && m.OrderingKey == nil {
			l.reportf(m.Desc, methodOption(1), "topic %q: has {partition}, want ordering_key, whose value chooses the partition", t.Text)
			return
		}
	}
}

func (l *loader) retry(d protoreflect.Descriptor, at []int32, r *v1.RetryRule) {
	a := r.GetAttempts()
	low, high := a.GetMinBackoff().AsDuration(), a.GetMaxBackoff().AsDuration()
	if low < 0 || high < 0 {
		l.reportf(d, append(at, 1), "retry: min_backoff and max_backoff must not be negative")
	}
	if high > 0 && high < low {
		l.reportf(d, append(at, 1), "retry: max_backoff %v is less than min_backoff %v", high, low)
	}
	for _, reason := range r.GetPermanentReasons() {
		if strings.TrimSpace(reason) == "" {
			l.reportf(d, append(at, 2), "retry: permanent_reasons contains an empty reason")
		}
	}
}

// text returns the path of the string field that an option names.
func (l *loader) text(m *protogen.Method, at []int32, name, path string) []*protogen.Field {
	if path == "" {
		return nil
	}
	fields, problem := resolve(m.Input, strings.Split(path, "."))
	if problem == "" {
		if last := fields[len(fields)-1]; last.Desc.Kind() != protoreflect.StringKind || last.Desc.IsList() {
			problem = fmt.Sprintf("field %q of message %s is %s, want a string field that is not repeated", path, last.Parent.Desc.FullName(), kindName(last))
		}
	}
	if problem != "" {
		l.reportf(m.Desc, at, "%s: %s", name, problem)
		return nil
	}
	return fields
}

// topics parses and binds the templates of a method.
func (l *loader) topics(m *Method, rule *v1.EventRule, d *v1.EventDefaults) {
	wild := m.Side == v1.Side_SIDE_SUBSCRIBE_ONLY
	if rule.GetTopic() == "" {
		l.reportf(m.Desc, methodOption(1), "the topic is empty")
	} else {
		l.topic(m, methodOption(1), join(d.GetTopicPrefix(), rule.GetTopic()), wild)
	}
	for i, t := range rule.GetAdditionalTopics() {
		l.topic(m, methodOption(2, int32(i)), join(d.GetTopicPrefix(), t), wild)
	}
	l.replyTopics(m, rule, d)
	dead, at := rule.GetDeadLetter(), protoreflect.Descriptor(m.Desc)
	path := methodOption(11)
	if dead == "" {
		if dead = d.GetDeadLetter(); dead == "" {
			return
		}
		at, path = m.Parent.Desc, serviceOption(7)
	}
	t, problem := bind(m.Input, dead, false)
	if problem != "" {
		l.reportf(at, path, "dead_letter: %s", problem)
		return
	}
	m.DeadLetter = t
	for _, own := range m.Topics {
		if eventimpl.Overlap(own.Filter(), t.Filter()) {
			l.reportf(at, path, "dead_letter %q matches the filter %q of the method itself: its dead letters would be delivered to it again", dead, own.Filter())
		}
	}
}

// replyTopics binds the response topics that a requester may name. Each must have a
// parameter that is bound to the request, because the service publishes to them on behalf
// of others.
func (l *loader) replyTopics(m *Method, rule *v1.EventRule, d *v1.EventDefaults) {
	if m.Reply == nil {
		return
	}
	for i, text := range rule.GetReply().GetTopics() {
		t, problem := bind(m.Input, join(d.GetTopicPrefix(), text), true)
		at := methodOption(13, 3, int32(i))
		switch {
		case problem != "":
			l.reportf(m.Desc, at, "reply: %s", problem)
			continue
		case slices.ContainsFunc(t.Levels, func(v Level) bool { return v.Literal == "+" }):
			l.reportf(m.Desc, at, "reply: topic %q: has the wildcard +, want only text and parameters, and # at most as the last level", text)
		case !slices.ContainsFunc(t.Levels, func(v Level) bool { return v.Param != nil }):
			l.reportf(m.Desc, at, "reply: topic %q: has no parameter, so that a requester could direct replies to any client", text)
		}
		m.Reply.Topics = append(m.Reply.Topics, t.Text)
	}
}

func (l *loader) topic(m *Method, at []int32, text string, wild bool) {
	t, problem := bind(m.Input, text, wild)
	if problem != "" {
		l.reportf(m.Desc, at, "%s", problem)
		return
	}
	for _, other := range m.Topics {
		if eventimpl.Overlap(other.Filter(), t.Filter()) {
			l.reportf(m.Desc, at, "filters %q and %q of the method overlap: a broker may deliver a message twice", other.Filter(), t.Filter())
		}
	}
	m.Topics = append(m.Topics, t)
}

// overlaps reports methods of one package whose filters match a common topic: an MQTT
// 3.1.1 broker may deliver a message once for each.
func (l *loader) overlaps(services []*Service) {
	var before []*Method
	allowed := func(m *Method) bool { return rule(m).GetAllowOverlap() }
	for _, s := range services {
		for _, m := range s.Methods {
			for _, other := range before {
				if other.Desc.ParentFile().Package() != m.Desc.ParentFile().Package() || allowed(m) || allowed(other) {
					continue
				}
				if a, b, ok := common(m, other); ok {
					l.reportf(m.Desc, methodOption(1), "filter %q overlaps %q of %s; set allow_overlap if this is intended", a, b, other.Desc.FullName())
				}
			}
			before = append(before, m)
		}
	}
}

func common(m, other *Method) (a, b string, ok bool) {
	for _, x := range m.Topics {
		for _, y := range other.Topics {
			if eventimpl.Overlap(x.Filter(), y.Filter()) {
				return x.Filter(), y.Filter(), true
			}
		}
	}
	return "", "", false
}
