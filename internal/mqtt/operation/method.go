package operation

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
)

// registration is one service with its registration options.
type registration struct {
	of      *Registry
	desc    *event.ServiceDesc
	options *event.Registration
	prefix  prefix

	filters  []filter
	replies  []string // operations
	presence *client.Presence
	errs     []error

	announced sync.Once
}

// filter is one subscription.
type filter struct{ operation, text string }

func (r *registration) fail(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// register subscribes one method.
func (r *registration) register(h event.Handler) {
	m := h.Method
	switch {
	case m == nil || h.New == nil || h.Call == nil:
		r.fail(fmt.Errorf("%s: a handler is not complete", r.desc.Name))
		return
	case !r.options.Wants(m.Name):
		return
	case m.Reply != nil && r.options.Batches[m.Name].Call != nil:
		r.fail(fmt.Errorf("%s: requests are not handled in batches", m.Operation))
		return
	case m.Reply != nil:
		r.replies = append(r.replies, m.Operation)
	}
	ids := new(client.IDScope)
	for i := range m.Filters {
		text := r.prefix.text + partition.Mark(m.Filters[i], r.templateText(m, i))
		r.filters = append(r.filters, filter{m.Operation, text})
		if r.of.problem() != nil {
			continue // Start reports it
		}
		c := r.handler(&h, i)
		err := r.of.front.Subscribe(c, text, func() any { return h.New() }, func(s *option.Subscription) {
			r.settings(s, c, &h, i)
			if s.Message.IDsSpanTopics = r.options.IDsSpan(m); s.Message.IDsSpanTopics {
				s.Message.IDScope = ids
			}
		})
		if err != nil {
			r.fail(fmt.Errorf("%s: %w", m.Operation, err))
		}
	}
}

// template returns the template of the method's i-th filter.
func (r *registration) template(m *event.MethodDesc, i int) *template {
	return parseTemplate(r.templateText(m, i)).below(r.prefix)
}

func (*registration) templateText(m *event.MethodDesc, i int) string {
	if i > 0 && i <= len(m.AdditionalTopics) {
		return m.AdditionalTopics[i-1]
	}
	return m.Topic
}

func (r *registration) handler(h *event.Handler, i int) *Handler {
	c := &Handler{of: r.of, operation: h.Method.Operation, begin: r.of.front.Begin, params: r.template(h.Method, i)}
	call := func(ctx context.Context, req any) (any, error) {
		in, ok := req.(proto.Message)
		if !ok {
			return nil, fmt.Errorf("request is a %T, want a message of %s", req, c.operation)
		}
		return h.Call(ctx, in)
	}
	if b, ok := r.options.Batches[h.Method.Name]; ok {
		c.batch = b.Call
		return c
	}
	if h.Method.Reply != nil {
		c.reply, c.replier = call, r.replier(h.Method, c, i)
		return c
	}
	c.end = func(ctx context.Context, _ *Attempt, req any) error {
		_, err := call(ctx, req)
		return err
	}
	return c
}

// group returns the shared group of a method: that of the configuration, the registration or
// the method, in this order.
func (r *registration) group(m *event.MethodDesc) string {
	if c := r.of.configured(m.Operation); c != nil && c.Group != nil {
		return c.GetGroup()
	}
	if g := r.options.Group; g != nil {
		return *g
	}
	return m.Group
}

func (r *registration) settings(s *option.Subscription, c *Handler, h *event.Handler, i int) {
	m, t := h.Method, &s.Message
	s.Group, s.CodecName = r.group(m), m.Codec
	s.QoS, t.Operation, t.Template = m.QoS, m.Operation, r.prefix.text+r.templateText(m, i)
	if d := m.Retry; d != nil {
		s.Backoff, s.MaxBackoff = d.MinBackoff, d.MaxBackoff
		if d.MaxAttempts > 0 {
			s.SetRetries(d.MaxAttempts - 1)
		}
		t.Reasons = make(map[string]event.Verdict, len(d.PermanentReasons))
		for _, reason := range d.PermanentReasons {
			t.Reasons[reason] = event.VerdictDeadLetter
		}
	}
	if name, ok := r.options.Sessions[m.Name]; ok {
		t.OwnSession, t.SessionName = true, name
	}
	if b, ok := r.options.Batches[m.Name]; ok {
		t.Batch = &client.TypedBatch{MaxSize: b.MaxSize, MaxWait: b.MaxWait, Handle: c.handleBatch}
	}
	t.TrustSender, s.IgnoreRetained = r.options.TrustsSender(m), r.options.IgnoresRetained(m)
	if b := r.options.Breaker(m); b != nil {
		s.Breaker = b
	}
	if m.Reply != nil {
		t.Undecodable = c.Refuse
	}
	t.Method = &client.Method{
		ID: ofMessage(m.ID), Key: ofMessage(m.Key),
		KeysSpan: r.options.KeysSpan(m),
		Levels:   r.prefix.tenant(),
	}
	if m.Key != nil && c.params.has(m.KeyField) {
		read := c.params.guarded
		if t.Method.KeysSpan {
			read = c.params.value
		}
		t.Method.KeyOfTopic = func(topic string) string { return read(topic, m.KeyField) }
	}
	if i < len(h.Bind) && h.Bind[i] != nil {
		t.Method.Bind, t.Method.Mismatch = r.bind(h.Bind[i]), r.mismatch(m)
	}
	if letters := r.letters(h); letters != "" {
		t.Method.LetterTopic = letterTopic(parseTemplate(letters), c.params, r.prefix)
	}
}

// letters returns the template of the dead-letter topic, from the configuration or else
// from the method, or "" if neither has one.
func (r *registration) letters(h *event.Handler) string {
	c := r.of.configured(h.Method.Operation)
	if c == nil || c.DeadLetter == nil {
		return h.Method.DeadLetter
	}
	text := c.GetDeadLetter()
	if text == "" {
		return ""
	}
	for _, l := range parseTemplate(strings.TrimPrefix(text, "/")).levels {
		if problem := l.problem(h.New().ProtoReflect().Descriptor()); problem != "" {
			r.fail(fmt.Errorf("%s: configured dead-letter topic %q: %s", h.Method.Operation, text, problem))
			return ""
		}
	}
	return text
}

// bind sets the fields of the topic behind the prefix.
func (r *registration) bind(bind event.BindFunc) func(string, any) (string, error) {
	return func(topic string, body any) (string, error) {
		in, ok := body.(proto.Message)
		if !ok {
			return "", fmt.Errorf("a %T is not bound to a topic", body)
		}
		_, topic = r.prefix.cut(topic)
		return bind(topic, in)
	}
}

// mismatch counts messages that contradict their topic.
func (r *registration) mismatch(m *event.MethodDesc) func(*client.Delivery, string) error {
	var once sync.Once
	return func(d *client.Delivery, field string) error {
		if d.First() {
			r.of.services.mismatches.Add(1)
		}
		if r.options.StrictTopic {
			return event.Permanent(&event.Error{
				Op: "decode", Topic: d.Topic, Reason: event.ReasonBadTopic,
				Cause: fmt.Errorf("field %s of the payload contradicts the topic", field),
			})
		}
		once.Do(func() {
			r.of.log().Warn("mqtt: a field of a payload contradicts its topic, which counts: logged once",
				logsafe.KeyOperation, m.Operation, logsafe.KeyTopic, d.Topic, logsafe.KeyField, field)
		})
		return nil
	}
}

func ofMessage(get func(proto.Message) string) func(any) string {
	if get == nil {
		return nil
	}
	return func(body any) string {
		in, ok := body.(proto.Message)
		if !ok {
			return ""
		}
		return get(in)
	}
}
