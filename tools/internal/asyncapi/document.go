package asyncapi

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/compiler/protogen"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// bindingVersion is the version of AsyncAPI's MQTT bindings.
const bindingVersion = "0.2.0"

// document is an AsyncAPI document under construction.
type document struct {
	s        Settings
	schemas  schemas
	messages *object
	channels *object
	operate  *object
	tags     []*object
	known    map[string]bool // messages that are written already
}

func newDocument(s Settings) *document {
	return &document{
		s: s, schemas: schemas{known: make(map[string]*object)}, known: make(map[string]bool),
		messages: newObject(), channels: newObject(), operate: newObject(),
	}
}

// build returns the document of some services.
func (d *document) build(name string, services []*eventproto.Service) *object {
	for _, s := range services {
		d.service(s)
	}
	info := newObject().set("title", or(d.s.Title, or(name, "events"))).set("version", or(d.s.Version, version(name))).set("tags", d.tags)
	components := newObject().set("messages", d.messages)
	all := newObject()
	for _, n := range d.schemas.order {
		all.set(n, d.schemas.known[n])
	}
	components.set("schemas", all)
	doc := newObject().set("asyncapi", "3.0.0").set("info", info).set("defaultContentType", "application/json")
	if d.s.Server != "" {
		protocol, host, _ := strings.Cut(d.s.Server, "://")
		doc.set("servers", newObject().set("broker", newObject().set("host", host).set("protocol", protocol)))
	}
	return doc.set("channels", d.channels).set("operations", d.operate).set("components", components)
}

func or(first, second string) string {
	if first != "" {
		return first
	}
	return second
}

// version returns the last part of a package such as report.v1 if it is a version.
func version(name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if len(last) > 1 && last[0] == 'v' && last[1] >= '0' && last[1] <= '9' {
		return last
	}
	return "v0"
}

func (d *document) service(s *eventproto.Service) {
	_, description := split(s.Comments.Leading)
	if description == "" {
		description = text(s.Comments.Leading)
	}
	d.tags = append(d.tags, newObject().set("name", string(s.Desc.FullName())).set("description", description))
	for _, m := range s.Methods {
		d.method(s, m)
	}
	d.presence(s)
}

// name returns the name of a service for channels and operations. It has the package if
// packages share the document, because their services may have the same names.
func (d *document) name(s *eventproto.Service) string {
	if d.s.Merge {
		return string(s.Desc.FullName())
	}
	return string(s.Desc.Name())
}

// method writes a channel and an operation for each topic.
func (d *document) method(s *eventproto.Service, m *eventproto.Method) {
	name := d.name(s) + "." + string(m.Desc.Name())
	for i, t := range m.Topics {
		key := name
		if i > 0 {
			key += "." + strconv.Itoa(i+1)
		}
		d.channels.set(key, d.channel(m, t))
		d.operate.set(key, d.operation(s, m, key, i == 0))
	}
	if m.DeadLetter != nil {
		key := name + ".deadLetter"
		d.channels.set(key, d.channel(m, m.DeadLetter))
		d.operate.set(key, newObject().set("action", "send").set("channel", ref("channels", key)).
			set("summary", "Messages that "+name+" could not handle"))
	}
	if m.Reply != nil {
		d.channels.set(name+".reply", newObject().set("address", always{nil}).
			set("messages", newObject().set(string(m.Output.Desc.Name()), d.message(m.Output, m.Codec, reply))))
	}
}

func (d *document) channel(m *eventproto.Method, t *eventproto.Topic) *object {
	params, names := newObject(), t.Names()
	for i, level := range t.Levels {
		if names[i] != "" {
			params.set(names[i], d.parameter(level, t.Fields[i]))
		}
	}
	return newObject().set("address", t.Address()).
		set("messages", newObject().set(string(m.Input.Desc.Name()), d.message(m.Input, m.Codec, roleOf(m)))).
		set("parameters", params).
		set("x-mqtt-filter", t.Filter())
}

func (d *document) parameter(level eventproto.Level, path []*protogen.Field) *object {
	if level.Partition {
		return newObject().set("description", "Partition of the ordering key: CRC-32 (ISO-HDLC) of its UTF-8 bytes, modulo the number of partitions.")
	}
	if path == nil {
		return newObject().set("description", "Any level.").multi(level.Literal == "#")
	}
	o := newObject()
	f := path[len(path)-1]
	if f.Enum != nil {
		o.set("enum", valueNames(f.Enum))
	}
	o.set("description", or(text(f.Comments.Leading), "Field "+eventproto.Path(path)+"."))
	names := make([]string, len(path))
	for i, p := range path {
		names[i] = pointer(p.Desc.JSONName())
	}
	return o.set("location", "$message.payload#/"+strings.Join(names, "/")).multi(level.Tail)
}

// pointer escapes a name in a JSON pointer [RFC 6901, 3].
func pointer(name string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(name) }

func (o *object) multi(is bool) *object {
	if is {
		o.set("x-multi-level", true)
	}
	return o
}

// action is what the application of the document does with an event: a service receives
// what its clients send, unless only one side of the generated code has the event.
func (d *document) action(m *eventproto.Method) string {
	if !m.Serves() || d.s.Client && m.Publishes() {
		return "send"
	}
	return "receive"
}

func (d *document) operation(s *eventproto.Service, m *eventproto.Method, key string, first bool) *object {
	summary, description := split(m.Comments.Leading)
	if m.Reply != nil {
		description = strings.TrimSpace(or(description, text(m.Comments.Leading)) + "\n\n" + requesters)
	}
	o := newObject().set("action", d.action(m)).set("channel", ref("channels", key)).
		set("summary", summary).set("description", description).
		set("tags", []*object{newObject().set("name", string(s.Desc.FullName()))}).
		set("bindings", newObject().set("mqtt", binding(m))).
		set("messages", []*object{ref("channels/"+key+"/messages", string(m.Input.Desc.Name()))})
	if m.Reply != nil {
		reply := strings.TrimSuffix(key, ".") + ".reply"
		o.set("reply", newObject().
			set("address", newObject().set("location", "$message.header#/responseTopic")).
			set("channel", ref("channels", reply)).
			set("messages", []*object{ref("channels/"+reply+"/messages", string(m.Output.Desc.Name()))}))
		o.set("x-mqtt-reply-timeout", m.Reply.Timeout.String()).set("x-mqtt-reply-qos", always{m.Reply.QoS}).
			set("x-mqtt-reply-topics", replyTopics(m))
	}
	if deprecated(m.Desc.Options()) {
		o.set("x-deprecated", true)
	}
	if first {
		d.consumer(m, o)
	}
	return o
}

// consumer adds defaults that concern only the consumer.
func (d *document) consumer(m *eventproto.Method, o *object) {
	o.set("x-mqtt-group", m.Group).
		set("x-mqtt-ordering-key", eventproto.Path(m.OrderingKey)).
		set("x-mqtt-id-field", eventproto.Path(m.ID))
	if m.IgnoreRetained {
		o.set("x-mqtt-ignore-retained", true)
	}
	if m.TrustSender {
		o.set("x-mqtt-trust-sender", true)
	}
	if m.DeadLetter != nil {
		o.set("x-mqtt-dead-letter", m.DeadLetter.Text)
	}
	if m.Batch != nil {
		o.set("x-mqtt-batch", newObject().set("maxSize", m.Batch.MaxSize).set("maxWait", m.Batch.MaxWait.String()))
	}
}

func binding(m *eventproto.Method) *object {
	o := newObject().set("qos", always{m.QoS}).set("retain", always{m.Retain})
	if m.Expiry > 0 {
		o.set("messageExpiryInterval", int64(m.Expiry/time.Second))
	}
	return o.set("bindingVersion", bindingVersion)
}

// message writes a message once and returns the reference to it.
func (d *document) message(m *protogen.Message, codec string, r role) *object {
	name := string(m.Desc.FullName())
	if codec != eventproto.DefaultCodec {
		name += "." + codec
	}
	name += string(r)
	if !d.known[name] {
		d.known[name] = true
		content := contentType(codec)
		summary, _ := split(m.Comments.Leading)
		o := newObject().set("name", string(m.Desc.FullName())).set("title", string(m.Desc.Name())).
			set("summary", summary).set("contentType", content).
			set("headers", headers(r)).
			set("payload", d.schemas.message(m))
		if r != event {
			o.set("correlationId", newObject().set("location", "$message.header#/correlationData"))
		}
		d.messages.set(name, o.set("bindings", newObject().set("mqtt", messageBinding(content, r))))
	}
	return ref("components/messages", name)
}

func contentType(codec string) string {
	if codec == "proto" {
		return "application/protobuf"
	}
	return "application/" + codec
}

// presence writes the channel on which instances announce their presence.
func (d *document) presence(s *eventproto.Service) {
	p := s.Presence
	if p == nil {
		return
	}
	key := d.name(s) + ".presence"
	if slices.ContainsFunc(s.Methods, func(m *eventproto.Method) bool { return m.Desc.Name() == "presence" }) {
		key += ".instances"
	}
	const name = "kratosmqtt.v1.Presence"
	if !d.known[name] {
		d.known[name] = true
		d.messages.set(name, newObject().set("name", name).set("title", "Presence").set("contentType", "application/json").
			set("payload", newObject().set("type", "object").set("properties", newObject().
				set("service", newObject().set("type", "string")).
				set("clientId", newObject().set("type", "string")).
				set("online", newObject().set("type", "boolean")).
				set("since", orNull(newObject().set("type", "string").set("format", "date-time"))))))
	}
	d.channels.set(key, newObject().set("address", p.Topic.Address()).
		set("messages", newObject().set("Presence", ref("components/messages", name))).
		set("parameters", newObject().set("client_id", newObject().set("description", "Client id of the instance.").set("location", "$message.payload#/clientId"))).
		set("x-mqtt-filter", p.Topic.Filter()))
	action := "send"
	if d.s.Client {
		action = "receive"
	}
	d.operate.set(key, newObject().set("action", action).set("channel", ref("channels", key)).
		set("summary", "Sends online after each connect; the will sends offline").
		set("tags", []*object{newObject().set("name", string(s.Desc.FullName()))}).
		set("bindings", newObject().set("mqtt", newObject().set("qos", always{p.QoS}).set("retain", true).set("bindingVersion", bindingVersion))))
}
