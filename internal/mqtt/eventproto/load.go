package eventproto

import (
	"cmp"
	"go/token"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Settings are the parameters that both plugins have.
type Settings struct {
	// Codecs are the names of registered codecs other than proto and json.
	Codecs []string
}

// Load returns the services with events in the files to generate. The error is of type
// [OptionErrors] and has all problems of all files.
func Load(plugin *protogen.Plugin, settings Settings) ([]*Service, error) {
	l := &loader{codecs: append([]string{"proto", "json"}, settings.Codecs...)}
	var services []*Service
	for _, f := range plugin.Files {
		if !f.Generate {
			continue
		}
		before := len(services)
		for _, s := range f.Services {
			if service := l.service(f, s); service != nil {
				services = append(services, service)
			}
		}
		if len(services) > before {
			l.inside(f)
		}
	}
	l.overlaps(services)
	if len(l.problems) > 0 {
		l.problems.sort()
		return nil, l.problems
	}
	return services, nil
}

// inside refuses a file whose code would be written outside of the output folder, or
// whose package name would add other code: protogen writes the name unchanged, with all
// of its lines.
func (l *loader) inside(f *protogen.File) {
	goPackage := []int32{8, 11}
	if name := f.GeneratedFilenamePrefix; !filepath.IsLocal(name) {
		l.reportf(f.Desc, goPackage, "go_package places the generated file at %q, outside of the output folder", name)
	}
	if name := string(f.GoPackageName); !token.IsIdentifier(name) {
		l.reportf(f.Desc, goPackage, "go_package sets the package name %q, want a Go identifier after the semicolon", name)
	}
	for _, text := range []string{f.GeneratedFilenamePrefix, string(f.GoImportPath), f.Desc.Path()} {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			l.reportf(f.Desc, goPackage, "path %q contains characters that are not printable", text)
			break
		}
	}
}

type loader struct {
	codecs   []string
	problems OptionErrors
}

// service returns a service, or nil if it has no events.
func (l *loader) service(f *protogen.File, s *protogen.Service) *Service {
	defaults := new(v1.EventDefaults)
	has := proto.HasExtension(s.Desc.Options(), v1.E_Events)
	if has {
		defaults, _ = proto.GetExtension(s.Desc.Options(), v1.E_Events).(*v1.EventDefaults)
	}
	service := &Service{Service: s, File: f}
	for _, m := range s.Methods {
		if !proto.HasExtension(m.Desc.Options(), v1.E_Event) {
			continue
		}
		rule, _ := proto.GetExtension(m.Desc.Options(), v1.E_Event).(*v1.EventRule)
		service.Methods = append(service.Methods, l.method(m, rule, defaults))
	}
	if has {
		l.defaults(service, defaults)
	}
	if len(service.Methods) == 0 && service.Presence == nil {
		return nil
	}
	if name := string(s.Desc.Name()); strings.HasSuffix(name, "Service") {
		l.reportf(s.Desc, nil, "the name of a service of events must not end in Service, because the skeleton that the Kratos CLI generates for it would not compile: name it %sEvents",
			strings.TrimSuffix(name, "Service"))
	}
	return service
}

// defaults checks the options of the whole service.
func (l *loader) defaults(s *Service, d *v1.EventDefaults) {
	at := func(field int32) []int32 { return serviceOption(field) }
	l.qos(s.Desc, at(2), "qos", d.Qos)
	l.expiry(s.Desc, at(4), d.Expiry)
	l.codec(s.Desc, at(5), d.Codec)
	l.group(s.Desc, at(6), d.GetGroup())
	l.retry(s.Desc, at(8), d.Retry)
	p := d.GetPresence()
	if p == nil {
		return
	}
	l.qos(s.Desc, serviceOption(9, 2), "presence.qos", p.Qos)
	t, err := ParseTemplate(join(d.GetTopicPrefix(), p.GetTopic()), false)
	if err != nil {
		l.reportf(s.Desc, serviceOption(9, 1), "presence: %v", err)
		return
	}
	params := 0
	for _, level := range t.Levels {
		if level.Param != nil {
			params++
			if level.Tail || strings.Join(level.Param, ".") != "client_id" {
				params = -1
				break
			}
		}
	}
	if params != 1 {
		l.reportf(s.Desc, serviceOption(9, 1), "presence: topic %q must have exactly one parameter, {client_id}", t.Text)
		return
	}
	s.Presence = &Presence{Topic: t, QoS: or(p.Qos, nil, DefaultQoS)}
}

func serviceOption(field ...int32) []int32 {
	return option(3, v1.E_Events.TypeDescriptor().Number(), field...)
}

func methodOption(field ...int32) []int32 {
	return option(4, v1.E_Event.TypeDescriptor().Number(), field...)
}

// method applies the defaults of the service to a rule and checks it.
func (l *loader) method(p *protogen.Method, rule *v1.EventRule, d *v1.EventDefaults) *Method {
	m := &Method{Method: p, Side: rule.GetSide(), MethodDesc: event.MethodDesc{
		QoS: byte(or(rule.Qos, d.Qos, DefaultQoS)), Retain: or(rule.Retain, d.Retain, false),
		Expiry: cmp.Or(rule.Expiry.AsDuration(), d.Expiry.AsDuration()),
		Codec:  cmp.Or(rule.GetCodec(), d.GetCodec(), DefaultCodec),
		Group:  or(rule.Group, d.Group, ""), Retry: retryDesc(cmp.Or(rule.GetRetry(), d.GetRetry())),
		TrustSender: or(rule.TrustSender, d.TrustSender, false), IgnoreRetained: or(rule.IgnoreRetained, d.IgnoreRetained, false),
	}}
	l.qos(p.Desc, methodOption(3), "qos", rule.Qos)
	l.expiry(p.Desc, methodOption(5), rule.Expiry)
	l.codec(p.Desc, methodOption(6), rule.GetCodec())
	l.group(p.Desc, methodOption(10), rule.GetGroup())
	l.retry(p.Desc, methodOption(12), rule.GetRetry())
	m.OrderingKey = l.text(p, methodOption(7), "ordering_key", rule.GetOrderingKey())
	m.ID = l.text(p, methodOption(14), "id_field", rule.GetIdField())
	m.IDsSpanTopics, m.KeysSpanTopics = rule.GetIdsSpanTopics(), rule.GetKeysSpanTopics()
	l.kind(m, rule, d)
	l.topics(m, rule, d)
	l.partitions(m)
	l.unrouted(m, rule)
	l.consumed(m, rule)
	m.describe()
	return m
}

// kind distinguishes events from requests, and reports options that do not suit the kind.
func (l *loader) kind(m *Method, rule *v1.EventRule, d *v1.EventDefaults) {
	desc := m.Desc
	if desc.IsStreamingClient() || desc.IsStreamingServer() {
		l.reportf(desc, nil, "streaming is not supported: declare a unary method, which is called for each event")
	}
	if desc.Output().FullName() == "google.protobuf.Empty" {
		if rule.Reply != nil {
			l.reportf(desc, methodOption(13), "reply contradicts the return type google.protobuf.Empty: the method is an event and has no reply")
		}
		l.batch(m, rule)
		return
	}
	m.Reply = &event.ReplyDesc{Timeout: DefaultReplyTimeout, QoS: byte(or(replyQoS(rule), nil, DefaultQoS))}
	if t := rule.GetReply().GetTimeout(); t != nil {
		if m.Reply.Timeout = t.AsDuration(); m.Reply.Timeout <= 0 {
			l.reportf(desc, methodOption(13, 1), "reply: timeout is %v, want more than 0s", m.Reply.Timeout)
		}
	}
	l.qos(desc, methodOption(13, 2), "reply.qos", replyQoS(rule))
	for _, o := range []struct {
		field int32
		name  string
		set   bool
	}{
		{4, "retain", rule.GetRetain()},
		{2, "additional_topics", len(rule.AdditionalTopics) > 0},
		{15, "batch", rule.Batch != nil},
		{16, "unrouted", rule.Unrouted != nil},
		{17, "ignore_retained", rule.GetIgnoreRetained()},
	} {
		if o.set {
			l.reportf(desc, methodOption(o.field), "%s contradicts the return type %s: only events have this option, and they return google.protobuf.Empty", o.name, desc.Output().FullName())
		}
	}
	// The defaults of the service apply to its events only.
	if rule.Retain == nil && d.GetRetain() {
		m.Retain = false
	}
	if rule.IgnoreRetained == nil {
		m.IgnoreRetained = false
	}
}

func (l *loader) batch(m *Method, rule *v1.EventRule) {
	b := rule.GetBatch()
	if b == nil {
		return
	}
	if !m.Serves() {
		l.reportf(m.Desc, methodOption(15), "batch contradicts SIDE_PUBLISH_ONLY: the method has no handler")
	}
	m.Batch = &event.BatchDesc{MaxSize: int(cmp.Or(b.GetMaxSize(), DefaultBatchSize)), MaxWait: cmp.Or(b.GetMaxWait().AsDuration(), DefaultBatchWait)}
	if m.Batch.MaxWait < 0 || m.Batch.MaxWait > time.Minute {
		l.reportf(m.Desc, methodOption(15, 2), "batch: max_wait is %v, want more than 0s and at most 1m", m.Batch.MaxWait)
	}
	if m.Batch.MaxSize > 10_000 {
		l.reportf(m.Desc, methodOption(15, 1), "batch: max_size is %d, want at most 10000", m.Batch.MaxSize)
	}
}

// retryDesc returns the description of a rule; nil has none.
func retryDesc(r *v1.RetryRule) *event.RetryDesc {
	if r == nil {
		return nil
	}
	a := r.GetAttempts()
	return &event.RetryDesc{
		MaxAttempts: int(a.GetMaxAttempts()), MinBackoff: a.GetMinBackoff().AsDuration(), MaxBackoff: a.GetMaxBackoff().AsDuration(),
		PermanentReasons: r.GetPermanentReasons(),
	}
}

// unrouted checks what an outbox does with a message that nobody subscribes to.
func (l *loader) unrouted(m *Method, rule *v1.EventRule) {
	u := rule.GetUnrouted()
	if u == nil {
		return
	}
	retry, age := u.GetPolicy() == "retry", u.GetMaxAge()
	switch p := u.GetPolicy(); {
	case p != "" && p != "accept" && !retry:
		l.reportf(m.Desc, methodOption(16, 1), "unrouted: policy is %q, want accept or retry", p)
	case !m.Publishes():
		l.reportf(m.Desc, methodOption(16), "unrouted contradicts SIDE_SUBSCRIBE_ONLY: the method publishes nothing")
	case age != nil && !retry:
		l.reportf(m.Desc, methodOption(16, 2), "unrouted: max_age is allowed with the policy retry only")
	case age != nil && (!age.IsValid() || age.AsDuration() <= 0):
		l.reportf(m.Desc, methodOption(16, 2), "unrouted: max_age is %v, want more than 0s", age.AsDuration())
	case retry && m.Retain:
		l.reportf(m.Desc, methodOption(16, 1), "unrouted: retry contradicts retain: the broker keeps a retained message, so it is never unrouted")
	case retry && m.QoS == 0:
		l.reportf(m.Desc, methodOption(16, 1), "unrouted: retry contradicts qos 0: QoS 0 messages do not wait in an outbox")
	case retry:
		m.Unrouted = &event.Unrouted{Retry: true, MaxAge: cmp.Or(age.AsDuration(), event.DefaultUnroutedAge)}
	}
}

// consumed reports options for a handler if the method has no handler.
func (l *loader) consumed(m *Method, rule *v1.EventRule) {
	if m.Serves() {
		return
	}
	if rule.GetIgnoreRetained() {
		l.reportf(m.Desc, methodOption(17), "ignore_retained contradicts SIDE_PUBLISH_ONLY: the method has no handler")
	}
	if rule.GetTrustSender() {
		l.reportf(m.Desc, methodOption(18), "trust_sender contradicts SIDE_PUBLISH_ONLY: the method has no handler")
	}
	m.TrustSender, m.IgnoreRetained = false, false // defaults for the other methods
}

// or returns the first value that is set.
func or[T any](first, second *T, otherwise T) T {
	switch {
	case first != nil:
		return *first
	case second != nil:
		return *second
	}
	return otherwise
}

// join prepends a prefix to a topic. A slash at the end of the prefix is ignored; one at
// the start of the topic is a level of its own, since /a differs from a [MQTT-4.7.3].
func join(prefix, topic string) string {
	if prefix == "" || topic == "" {
		return topic
	}
	return strings.TrimRight(prefix, "/") + "/" + topic
}

// fieldOf returns the field of a message with a name of the .proto file.
func fieldOf(m *protogen.Message, name string) *protogen.Field {
	for _, f := range m.Fields {
		if f.Desc.Name() == protoreflect.Name(name) {
			return f
		}
	}
	return nil
}

func replyQoS(rule *v1.EventRule) *uint32 {
	if r := rule.GetReply(); r != nil {
		return r.Qos
	}
	return nil
}
