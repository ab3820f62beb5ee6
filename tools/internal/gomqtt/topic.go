package gomqtt

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/gofeaturespb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// build writes the function that builds the topic of a message.
func (g generator) build(m *eventproto.Method) {
	t := m.Topics[0]
	g.P()
	g.P("// ", topicName(m), " returns the topic ", t.Text)
	b := g.local("t")
	g.P("func ", topicName(m), "(", g.local("in"), " *", m.Input.GoIdent, ") (string, error) {")
	defer g.P("}")
	if !hasParam(t) {
		g.P("return ", quote(t.Text), ", nil")
		return
	}
	g.P("var ", b, " ", implPackage.Ident("TopicBuilder"))
	each(t, func(text string) { g.P(b, ".Literal(", quote(text), ")") }, func(i int, path []*protogen.Field) {
		g.P(b, ".", g.appendCall(path, t.Levels[i].Tail))
	})
	g.P("return ", b, ".Topic()")
}

// each iterates over the levels of a template, with the slashes added to the texts.
func each(t *eventproto.Topic, literal func(text string), param func(i int, path []*protogen.Field)) {
	var text strings.Builder
	for i, level := range t.Levels {
		if i > 0 {
			text.WriteByte('/')
		}
		if t.Fields[i] == nil {
			text.WriteString(level.Literal)
			continue
		}
		if text.Len() > 0 {
			literal(text.String())
			text.Reset()
		}
		param(i, t.Fields[i])
	}
	if text.Len() > 0 {
		literal(text.String())
	}
}

func (g generator) appendCall(path []*protogen.Field, tail bool) string {
	f, value := path[len(path)-1], g.local("in")+getters(path)
	name := quote(eventproto.Path(path))
	switch k := f.Desc.Kind(); {
	case tail:
		return fmt.Sprintf("Tail(%s, %s)", name, value)
	case k == protoreflect.StringKind:
		return fmt.Sprintf("String(%s, %s)", name, value)
	case k == protoreflect.BoolKind:
		return fmt.Sprintf("Bool(%s)", value)
	case k == protoreflect.EnumKind:
		return fmt.Sprintf("Enum(%s, %s[int32(%s)], int32(%s))", name, g.enumMap(f, "_name"), value, value)
	case unsigned(k):
		return fmt.Sprintf("Uint(uint64(%s))", value)
	}
	return fmt.Sprintf("Int(int64(%s))", value)
}

func unsigned(k protoreflect.Kind) bool {
	switch k {
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return true
	}
	return false
}

func bits(k protoreflect.Kind) int {
	switch k {
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return 64
	}
	return 32
}

// binds writes the functions that set fields of a message from a topic.
func (g generator) binds(m *eventproto.Method) {
	for n, t := range m.Topics {
		if !hasParam(t) {
			continue
		}
		g.P()
		topic, in, reader := g.local("topic"), g.local("in"), g.local("t")
		mismatch, err := g.local("mismatch"), g.local("err")
		g.P("func ", bindName(m, n), "(", topic, " string, ", in, " *", m.Input.GoIdent, ") (", mismatch, " string, ", err, " error) {")
		g.P(reader, " := ", implPackage.Ident("ReadTopic"), "(", topic, ")")
		g.read(t, reader)
		g.P("if ", err, " := ", reader, ".Err(); ", err, " != nil {")
		g.P("return \"\", ", err)
		g.P("}")
		for i, path := range t.Fields {
			if path != nil {
				g.set(i, path)
			}
		}
		g.P("return ", mismatch, ", nil")
		g.P("}")
	}
}

// read writes the code that splits a topic with the variable reader.
func (g generator) read(t *eventproto.Topic, reader string) {
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			g.P(reader, ".Literal(", quote(text.String()), ")")
			text.Reset()
		}
	}
	for i, level := range t.Levels {
		if i > 0 && level.Literal != "#" { // # matches without a slash, too
			text.WriteByte('/')
		}
		switch {
		case level.Partition:
			flush()
			g.P(reader, ".Skip()")
		case level.Wild:
			flush()
			g.P(reader, map[string]string{"#": ".Rest()", "+": ".Skip()"}[level.Literal])
		case t.Fields[i] == nil:
			text.WriteString(level.Literal)
		default:
			flush()
			g.P(g.level(i), " := ", reader, ".", g.readCall(t.Fields[i], level.Tail))
		}
	}
	flush()
}

// enumMap returns the map that converts an enum to or from names.
func (g generator) enumMap(f *protogen.Field, suffix string) string {
	id := f.Enum.GoIdent
	id.GoName += suffix
	return g.QualifiedGoIdent(id)
}

func (g generator) readCall(path []*protogen.Field, tail bool) string {
	f := path[len(path)-1]
	switch k := f.Desc.Kind(); {
	case tail:
		return "Tail()"
	case k == protoreflect.StringKind:
		return "Level()"
	case k == protoreflect.BoolKind:
		return "Bool()"
	case k == protoreflect.EnumKind:
		return fmt.Sprintf("Enum(%s)", g.enumMap(f, "_value"))
	case unsigned(k):
		return fmt.Sprintf("Uint(%d)", bits(k))
	default:
		return fmt.Sprintf("Int(%d)", bits(k))
	}
}

// level returns the variable that holds the value of the i-th level.
func (g generator) level(i int) string { return g.local(fmt.Sprintf("level%d", i+1)) }

// set writes the code that sets a field to the value of a level.
func (g generator) set(i int, path []*protogen.Field) {
	f, value, mismatch := path[len(path)-1], g.level(i), g.local("mismatch")
	if t := g.goType(f); t != "" {
		value = fmt.Sprintf("%s(%s)", t, value)
	}
	holder := g.local("in")
	for _, parent := range path[:len(path)-1] {
		holder = g.parent(holder, parent)
	}
	name, has := quote(eventproto.Path(path)), g.has(holder, f)
	if has == "" {
		g.P(mismatch, " = ", implPackage.Ident("Mismatch"), "(", mismatch, ", ", name, ", ", holder, ".", getter(f), "(), ", value, ")")
	} else {
		g.P("if ", has, " && ", holder, ".", getter(f), "() != ", value, " {")
		g.P(mismatch, " = ", name)
		g.P("}")
	}
	switch {
	case f.Parent.APILevel != gofeaturespb.GoFeatures_API_OPEN:
		setter, _ := f.MethodName("Set")
		g.P(holder, ".", setter, "(", value, ")")
	case f.Desc.HasPresence():
		p := g.local(fmt.Sprintf("p%d", i+1))
		g.P(p, " := ", value)
		g.P(holder, ".", f.GoName, " = &", p)
	default:
		g.P(holder, ".", f.GoName, " = ", value)
	}
}

// has returns an expression that reports whether the payload has a field; "" if the
// field has no presence.
func (g generator) has(holder string, f *protogen.Field) string {
	switch {
	case !f.Desc.HasPresence():
		return ""
	case f.Parent.APILevel == gofeaturespb.GoFeatures_API_OPEN:
		return fmt.Sprintf("%s.%s != nil", holder, f.GoName)
	}
	has, _ := f.MethodName("Has")
	return fmt.Sprintf("%s.%s()", holder, has)
}

// parent writes the code that creates the message that contains a field.
func (g generator) parent(holder string, f *protogen.Field) string {
	get := holder + "." + getter(f) + "()"
	if f.Parent.APILevel == gofeaturespb.GoFeatures_API_OPEN {
		g.P("if ", holder, ".", f.GoName, " == nil {")
		g.P(holder, ".", f.GoName, " = new(", f.Message.GoIdent, ")")
	} else {
		has, _ := f.MethodName("Has")
		set, _ := f.MethodName("Set")
		g.P("if !", holder, ".", has, "() {")
		g.P(holder, ".", set, "(new(", f.Message.GoIdent, "))")
	}
	g.P("}")
	return get
}

// goType returns the type that the value of a level must be converted to, or "".
func (g generator) goType(f *protogen.Field) string {
	switch k := f.Desc.Kind(); k {
	case protoreflect.StringKind, protoreflect.BoolKind:
		return ""
	case protoreflect.EnumKind:
		return g.QualifiedGoIdent(f.Enum.GoIdent)
	default:
		switch {
		case unsigned(k) && bits(k) == 32:
			return "uint32"
		case unsigned(k) || bits(k) == 64:
			return "" // no conversion is needed
		default:
			return "int32"
		}
	}
}
