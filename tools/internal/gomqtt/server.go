package gomqtt

import (
	"slices"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/eventproto"
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
	g.P("// A nil error acknowledges the message; another one is retried, then parked or dead-lettered.")
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
	g.P("// Register", name, " subscribes srv to the events. What is wrong is an error of the server's Start.")
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

// bound reports whether a template of the method has a parameter.
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

// batch writes the option that a handler of many messages is registered with.
func (g generator) batch(s *eventproto.Service, m *eventproto.Method) {
	if m.Batch == nil {
		return
	}
	name := m.Parent.GoName + "_" + m.GoName + "_MQTT_Batch"
	g.P()
	g.P("// ", name, " registers a handler of many messages in the place of ", m.GoName, ". Its nil error")
	g.P("// acknowledges all of them, event.ItemErrors decides about each.")
	g.P("func ", name, "(handler func(", contextPackage.Ident("Context"), ", []*", m.Input.GoIdent, ") error, opts ...", eventPackage.Ident("BatchOption"), ") ", eventPackage.Ident("RegisterOption"), " {")
	g.P("return ", implPackage.Ident("NewBatch"), "(", descOf(m, s), ", handler, opts...)")
	g.P("}")
}

// presence writes the registration of who wants to know the instances.
func (g generator) presence(s *eventproto.Service) {
	if s.Presence == nil {
		return
	}
	presence := protogen.GoIdent{GoName: "Presence", GoImportPath: optionsPackage}
	g.P()
	g.P("// Watch", s.GoName, "Presence subscribes handler to the instances of ", s.Desc.FullName(), ": those that are there,")
	g.P("// and each that comes or goes. An instance announces itself by Register", s.GoName, "MQTTServer.")
	g.P("func Watch", s.GoName, "Presence(s ", eventPackage.Ident("ServiceRegistrar"), ", handler func(", contextPackage.Ident("Context"), ", *", presence, ") error, opts ...", eventPackage.Ident("RegisterOption"), ") {")
	g.P(implPackage.Ident("WatchPresence"), "(s, &", descName(s.Service), ", handler, opts...)")
	g.P("}")
}
