package eventproto

import (
	"strings"
	"time"

	"google.golang.org/protobuf/compiler/protogen"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Service is a service with events.
type Service struct {
	*protogen.Service
	File     *protogen.File
	Methods  []*Method
	Presence *Presence
}

// Method is an event or a request.
type Method struct {
	*protogen.Method
	// MethodDesc is what the generated code describes to the runtime: a field that is set
	// here is generated. Key and ID, which are functions, are generated from the paths below.
	event.MethodDesc
	// Topics are the template of the option and the additional ones.
	Topics     []*Topic
	DeadLetter *Topic // nil if not set
	Side       v1.Side
	// OrderingKey and ID are paths of fields, nil if not set.
	OrderingKey, ID []*protogen.Field
}

// Topic is a template bound to the fields of the method's message.
type Topic struct {
	*Template
	// Fields has the path of the field for each level that is a parameter, otherwise nil.
	Fields [][]*protogen.Field
}

// Presence describes how an instance of the service announces itself.
type Presence struct {
	Topic *Template
	QoS   uint32
}

// Defaults of the options.
const (
	DefaultQoS          = 1
	DefaultCodec        = "proto"
	DefaultReplyTimeout = 5 * time.Second
	DefaultBatchSize    = 100
	DefaultBatchWait    = 50 * time.Millisecond
)

// describe sets the names and topics of the description.
func (m *Method) describe() {
	d := &m.MethodDesc
	d.Name = string(m.Desc.Name())
	d.Operation = "/" + string(m.Parent.Desc.FullName()) + "/" + d.Name
	for i, t := range m.Topics {
		d.Filters = append(d.Filters, t.Filter())
		if i > 0 {
			d.AdditionalTopics = append(d.AdditionalTopics, t.Text)
		}
	}
	if len(m.Topics) > 0 {
		d.Topic = m.Topics[0].Text
	}
	if m.DeadLetter != nil {
		d.DeadLetter = m.DeadLetter.Text
	}
	d.KeyField = Path(m.OrderingKey)
}

// Event reports whether the method is an event, which has no reply.
func (m *Method) Event() bool { return m.Reply == nil }

// Serves reports whether the server has the method.
func (m *Method) Serves() bool { return m.Side != v1.Side_SIDE_PUBLISH_ONLY }

// Publishes reports whether the client has the method.
func (m *Method) Publishes() bool { return m.Side != v1.Side_SIDE_SUBSCRIBE_ONLY }

// Path returns a path of fields as it is written in an option.
func Path(fields []*protogen.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f.Desc.Name())
	}
	return strings.Join(names, ".")
}
