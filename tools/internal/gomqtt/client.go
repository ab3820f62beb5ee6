package gomqtt

import (
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// client writes the publisher of a service.
func (g generator) client(s *eventproto.Service) {
	var methods []*eventproto.Method
	for _, m := range s.Methods {
		if m.Publishes() {
			methods = append(methods, m)
		}
	}
	if len(methods) == 0 {
		return
	}
	name := s.GoName + "MQTTClient"
	private := strings.ToLower(name[:1]) + name[1:]
	g.P()
	g.P("// ", name, " publishes the events of ", s.Desc.FullName(), ". Safe for concurrent use. A method")
	g.P("// returns nil once its message is accepted.")
	g.P("type ", name, " interface {")
	for _, m := range methods {
		g.comment(m.Comments.Leading)
		g.deprecated(m)
		g.P(g.signature(m))
	}
	g.P("}")
	g.P()
	g.P("type ", private, " struct{ cc ", eventPackage.Ident("ClientConn"), " }")
	g.P()
	g.P("// New", name, " returns a client that publishes through cc.")
	g.P("func New", name, "(cc ", eventPackage.Ident("ClientConn"), ") ", name, " { return &", private, "{cc} }")
	for _, m := range methods {
		g.P()
		g.call(s, m, private)
	}
}

// call writes a method of the publisher.
func (g generator) call(s *eventproto.Service, m *eventproto.Method, private string) {
	c, ctx, in, opts := g.local("c"), g.local("ctx"), g.local("in"), g.local("opts")
	topic, out, err := g.local("topic"), g.local("out"), g.local("err")
	g.P("func (", c, " *", private, ") ", g.signature(m), " {")
	g.P(topic, ", ", err, " := ", topicName(m), "(", in, ")")
	g.P("if ", err, " != nil {")
	if m.Event() {
		g.P("return ", err)
		g.P("}")
		g.P("return ", c, ".cc.Publish(", ctx, ", ", descOf(m, s), ", ", topic, ", ", in, ", ", opts, "...)")
	} else {
		g.P("return nil, ", err)
		g.P("}")
		g.P(out, " := new(", m.Output.GoIdent, ")")
		g.P("if ", err, " := ", c, ".cc.Request(", ctx, ", ", descOf(m, s), ", ", topic, ", ", in, ", ", out, ", ", opts, "...); ", err, " != nil {")
		g.P("return nil, ", err)
		g.P("}")
		g.P("return ", out, ", nil")
	}
	g.P("}")
}

func (g generator) signature(m *eventproto.Method) string {
	out := "error"
	if !m.Event() {
		out = "(*" + g.QualifiedGoIdent(m.Output.GoIdent) + ", error)"
	}
	return m.GoName + "(" + g.local("ctx") + " " + g.QualifiedGoIdent(contextPackage.Ident("Context")) + ", " + g.local("in") + " *" + g.QualifiedGoIdent(m.Input.GoIdent) +
		", " + g.local("opts") + " ..." + g.QualifiedGoIdent(eventPackage.Ident("CallOption")) + ") " + out
}
