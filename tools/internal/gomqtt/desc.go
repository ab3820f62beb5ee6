package gomqtt

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/eventproto"
)

// desc writes the description of a service. What has its zero value is left
// out.
func (g generator) desc(s *eventproto.Service) {
	g.P()
	g.P("// ", descName(s.Service), " describes ", s.Desc.FullName(), ". It must not be changed.")
	g.P("var ", descName(s.Service), " = ", eventPackage.Ident("ServiceDesc"), "{")
	g.P("Name: ", quote(string(s.Desc.FullName())), ",")
	g.P("File: ", quote(s.File.Desc.Path()), ",")
	if p := s.Presence; p != nil {
		g.P("Presence: &", eventPackage.Ident("PresenceDesc"), "{Topic: ", quote(p.Topic.Text), ", Filter: ", quote(p.Topic.Filter()), ", QoS: ", p.QoS, "},")
	}
	g.P("Methods: []", eventPackage.Ident("MethodDesc"), "{")
	for _, m := range s.Methods {
		g.P("{")
		g.method(m)
		g.P("},")
	}
	g.P("},")
	g.P("}")
}

func (g generator) method(m *eventproto.Method) {
	g.P("Name: ", quote(string(m.Desc.Name())), ", Operation: ", quote(m.Operation()), ",")
	filters := make([]string, 0, len(m.Topics))
	for _, t := range m.Topics {
		filters = append(filters, quote(t.Filter()))
	}
	g.P("Topic: ", quote(m.Topics[0].Text), ", Filters: []string{", strings.Join(filters, ", "), "},")
	if more := m.Topics[1:]; len(more) > 0 {
		texts := make([]string, 0, len(more))
		for _, t := range more {
			texts = append(texts, quote(t.Text))
		}
		g.P("AdditionalTopics: []string{", strings.Join(texts, ", "), "},")
	}
	g.P("QoS: ", m.QoS, ", Codec: ", quote(m.Codec), ",")
	if m.Retain {
		g.P("Retain: true,")
	}
	if m.Expiry > 0 {
		g.P("Expiry: ", g.duration(m.Expiry), ",")
	}
	if m.Group != "" {
		g.P("Group: ", quote(m.Group), ",")
	}
	if m.DeadLetter != nil {
		g.P("DeadLetter: ", quote(m.DeadLetter.Text), ",")
	}
	if m.OrderingKey != nil {
		g.P("Key: ", g.text(m, m.OrderingKey), ", KeyField: ", quote(eventproto.Path(m.OrderingKey)), ",")
	}
	if m.ID != nil {
		g.P("ID: ", g.text(m, m.ID), ",")
	}
	if m.TrustSender {
		g.P("TrustSender: true,")
	}
	if m.IgnoreRetained {
		g.P("IgnoreRetained: true,")
	}
	if m.IDsSpanTopics {
		g.P("IDsSpanTopics: true,")
	}
	if m.KeysSpanTopics {
		g.P("KeysSpanTopics: true,")
	}
	g.policies(m)
}

func (g generator) policies(m *eventproto.Method) {
	if r := m.Retry; r != nil {
		a := r.GetAttempts()
		fields := make([]string, 0, 4)
		if n := a.GetMaxAttempts(); n > 0 {
			fields = append(fields, fmt.Sprintf("MaxAttempts: %d", n))
		}
		if d := a.GetMinBackoff().AsDuration(); d > 0 {
			fields = append(fields, "MinBackoff: "+g.duration(d))
		}
		if d := a.GetMaxBackoff().AsDuration(); d > 0 {
			fields = append(fields, "MaxBackoff: "+g.duration(d))
		}
		if reasons := r.GetPermanentReasons(); len(reasons) > 0 {
			fields = append(fields, fmt.Sprintf("PermanentReasons: %#v", reasons))
		}
		g.P("Retry: &", eventPackage.Ident("RetryDesc"), "{", strings.Join(fields, ", "), "},")
	}
	if u := m.Unrouted; u != nil {
		g.P("Unrouted: &", eventPackage.Ident("Unrouted"), "{Retry: true, MaxAge: ", g.duration(u.MaxAge), "},")
	}
	if r := m.Reply; r != nil {
		topics := ""
		if len(r.Topics) > 0 {
			texts := make([]string, len(r.Topics))
			for i, t := range r.Topics {
				texts[i] = t.Text
			}
			topics = fmt.Sprintf(", Topics: %#v", texts)
		}
		g.P("Reply: &", eventPackage.Ident("ReplyDesc"), "{Timeout: ", g.duration(r.Timeout), ", QoS: ", r.QoS, topics, "},")
	}
	if b := m.Batch; b != nil {
		g.P("Batch: &", eventPackage.Ident("BatchDesc"), "{MaxSize: ", b.MaxSize, ", MaxWait: ", g.duration(b.MaxWait), "},")
	}
}

// text is a function that reads a string field.
func (g generator) text(m *eventproto.Method, path []*protogen.Field) string {
	in := g.QualifiedGoIdent(m.Input.GoIdent)
	of := g.QualifiedGoIdent(implPackage.Ident("TextOf"))
	if len(path) == 1 {
		return fmt.Sprintf("%s((*%s).%s)", of, in, getter(path[0]))
	}
	return fmt.Sprintf("%s(func(in *%s) string { return in%s })", of, in, getters(path))
}

// getter is the name of a field's getter, getters the calls along a path.
func getter(f *protogen.Field) string {
	name, _ := f.MethodName("Get")
	return name
}

func getters(path []*protogen.Field) string {
	var b strings.Builder
	for _, f := range path {
		b.WriteString("." + getter(f) + "()")
	}
	return b.String()
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
