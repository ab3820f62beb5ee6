package mqtt

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// registration is one service with its registration options.
type registration struct {
	server  *Server
	desc    *event.ServiceDesc
	options *event.Registration
	prefix  prefix

	filters  []filter
	replies  []string // operations
	presence *client.Presence
	errs     []error
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
		text := r.prefix.text + m.Filters[i]
		r.filters = append(r.filters, filter{m.Operation, text})
		if r.server.problem() != nil {
			continue // Start reports it
		}
		c := r.chained(&h, i)
		handler := c.handle
		if c.batch != nil {
			handler = c.handleSingle
		}
		opts := append(r.subscribeOptions(m), mqttbroker.WithSubscription(func(s *client.Subscription, t *client.Typed) {
			r.settings(s, t, c, &h, i)
			if t.IDsSpanTopics = r.options.IDsSpan(m); t.IDsSpanTopics {
				t.IDScope = ids
			}
		}))
		if _, err := c.subscribe(text, handler, func() any { return h.New() }, opts...); err != nil {
			r.fail(fmt.Errorf("%s: %w", m.Operation, err))
		}
	}
}

// template returns the template of the method's i-th filter.
func (r *registration) template(m *event.MethodDesc, i int) *template {
	text := m.Topic
	if i > 0 && i <= len(m.AdditionalTopics) {
		text = m.AdditionalTopics[i-1]
	}
	return parseTemplate(text).below(r.prefix)
}

func (r *registration) chained(h *event.Handler, i int) *chained {
	c := &chained{server: r.server, operation: h.Method.Operation, params: r.template(h.Method, i)}
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
	c.handler = func(ctx context.Context, e broker.Event) error {
		_, err := call(ctx, e.Message().Body)
		return err
	}
	return c
}

// subscribeOptions returns the settings of a method for which kratos-transport has
// options.
func (r *registration) subscribeOptions(m *event.MethodDesc) []broker.SubscribeOption {
	group := m.Group
	if g := r.options.Group; g != nil {
		group = *g
	}
	if c := r.server.configured(m.Operation); c != nil && c.Group != nil {
		group = c.GetGroup()
	}
	opts := []broker.SubscribeOption{broker.WithSubscribeQueueName(group), mqttbroker.WithSubscribeCodec(m.Codec)}
	if d := m.Retry; d != nil {
		opts = append(opts, func(o *broker.SubscribeOptions) {
			if o.RetryDelay = d.MinBackoff; d.MaxAttempts > 0 {
				o.MaxRetries = d.MaxAttempts - 1
			}
		})
	}
	return opts
}

func (r *registration) settings(s *client.Subscription, t *client.Typed, c *chained, h *event.Handler, i int) {
	m := h.Method
	s.QoS, t.Operation = m.QoS, m.Operation
	if d := m.Retry; d != nil {
		s.MaxBackoff = d.MaxBackoff
		t.Reasons = make(map[string]event.Verdict, len(d.PermanentReasons))
		for _, reason := range d.PermanentReasons {
			t.Reasons[reason] = event.DeadLetter
		}
	}
	if name, ok := r.options.Sessions[m.Name]; ok {
		t.OwnSession, t.SessionName = true, name
	}
	if b, ok := r.options.Batches[m.Name]; ok {
		t.Batch = &client.TypedBatch{MaxSize: b.MaxSize, MaxWait: b.MaxWait, Handle: c.handleBatch}
	}
	t.TrustSender, s.IgnoreRetained = r.options.TrustsSender(m), r.options.IgnoresRetained(m)
	if m.Reply != nil {
		t.Undecodable = c.refuse
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
	c := r.server.configured(h.Method.Operation)
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
			r.server.services.mismatches.Add(1)
		}
		if r.options.StrictTopic {
			return event.Permanent(&event.Error{
				Op: "decode", Topic: d.Topic, Reason: event.ReasonBadTopic,
				Cause: fmt.Errorf("field %s of the payload contradicts the topic", field),
			})
		}
		once.Do(func() {
			r.server.log().Warnf("mqtt: %s: field %s of a payload contradicts its topic, which counts (first on topic %q)", m.Operation, field, d.Topic)
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
