package gomqtt

import (
	"slices"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// server writes the interface of the service and its registration.
func (g generator) server(s *eventproto.Service) {
	serves := false
	for _, m := range s.Methods {
		serves = serves || m.Serves()
	}
	if !serves {
		return
	}
	name := s.GoName + "MQTTServer"
	g.P()
	g.comment(s.Comments.Leading, name, " handles the events of ", s.Desc.FullName(), ".")
	if s.Comments.Leading != "" {
		g.P("//")
	}
	g.P("// Returning nil acknowledges the message. After another error it is retried, then parked or dead-lettered.")
	g.P("type ", name, " interface {")
	for _, m := range s.Methods {
		if m.Serves() {
			g.comment(m.Comments.Leading)
			g.deprecated(m)
			g.P(m.GoName, "(", contextPackage.Ident("Context"), ", *", m.Input.GoIdent, ") (*", m.Output.GoIdent, ", error)")
		}
	}
	g.P("}")
	g.P()
	registrar, srv, opts := g.local("s"), g.local("srv"), g.local("opts")
	g.P("// Register", name, " subscribes srv to the events. The server's Start returns the errors of the registration.")
	g.P("func Register", name, "(", registrar, " ", eventPackage.Ident("ServiceRegistrar"), ", ", srv, " ", name, ", ", opts, " ...", eventPackage.Ident("RegisterOption"), ") {")
	g.P(registrar, ".RegisterService(&", descName(s.Service), ", []", eventPackage.Ident("Handler"), "{")
	for _, m := range s.Methods {
		if !m.Serves() {
			continue
		}
		args := []any{implPackage.Ident("NewHandler"), "(", descOf(m, s), ", ", srv, ".", m.GoName}
		if bound(m) {
			for i := range m.Topics {
				args = append(args, ", ", bindArgument(m, i))
			}
		}
		g.P(append(args, "),")...)
	}
	g.P("}, ", opts, "...)")
	g.P("}")
}

// bound reports whether a topic template of the method has a parameter.
func bound(m *eventproto.Method) bool {
	return slices.ContainsFunc(m.Topics, hasParam)
}

func hasParam(t *eventproto.Topic) bool {
	for _, f := range t.Fields {
		if f != nil {
			return true
		}
	}
	return false
}

func bindArgument(m *eventproto.Method, i int) string {
	if hasParam(m.Topics[i]) {
		return bindName(m, i)
	}
	return "nil"
}

// batch writes the option that registers a handler of batches.
func (g generator) batch(s *eventproto.Service, m *eventproto.Method) {
	if m.Batch == nil {
		return
	}
	name := m.Parent.GoName + "_" + m.GoName + "_MQTT_Batch"
	g.P()
	g.P("// ", name, " replaces ", m.GoName, " with a handler of batches. Returning nil acknowledges")
	g.P("// the whole batch; event.ItemErrors decides about each message.")
	g.P("func ", name, "(handler func(", contextPackage.Ident("Context"), ", []*", m.Input.GoIdent, ") error, opts ...", eventPackage.Ident("BatchOption"), ") ", eventPackage.Ident("RegisterOption"), " {")
	g.P("return ", implPackage.Ident("NewBatch"), "(", descOf(m, s), ", handler, opts...)")
	g.P("}")
}

// presence writes the function that watches the instances of a service.
func (g generator) presence(s *eventproto.Service) {
	if s.Presence == nil {
		return
	}
	presence := protogen.GoIdent{GoName: "Presence", GoImportPath: optionsPackage}
	g.P()
	g.P("// Watch", s.GoName, "Presence calls handler for each instance of ", s.Desc.FullName(), " that is online, and")
	g.P("// whenever one goes online or offline. Register", s.GoName, "MQTTServer announces an instance.")
	g.P("func Watch", s.GoName, "Presence(s ", eventPackage.Ident("ServiceRegistrar"), ", handler func(", contextPackage.Ident("Context"), ", *", presence, ") error, opts ...", eventPackage.Ident("RegisterOption"), ") {")
	g.P(implPackage.Ident("WatchPresence"), "(s, &", descName(s.Service), ", handler, opts...)")
	g.P("}")
}
