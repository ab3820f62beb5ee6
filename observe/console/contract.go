package console

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// maxMessages bounds the messages that a contract describes.
const maxMessages = 1000

// contract is api/contract.
type contract struct {
	Services []serviceContract          `json:"services"`
	Messages map[string]messageContract `json:"messages"` // by full name
	// Problem is why events are left out.
	Problem string `json:"problem"`
}

type serviceContract struct {
	Name        string              `json:"name"`
	File        string              `json:"file"`
	Description string              `json:"description"` // the comment in .proto, as of all others
	Operations  []operationContract `json:"operations"`
}

type operationContract struct {
	Operation   string   `json:"operation"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Publishes   bool     `json:"publishes"`
	Subscribes  bool     `json:"subscribes"`
	Topics      []string `json:"topics"`
	QoS         byte     `json:"qos"`
	Retain      bool     `json:"retain"`
	Expiry      float64  `json:"expiry_ms"`
	Group       string   `json:"group"`
	OrderingKey string   `json:"ordering_key"`
	IDField     string   `json:"id_field"`
	Codec       string   `json:"codec"`
	DeadLetter  string   `json:"dead_letter"`
	Request     string   `json:"request"`
	Reply       string   `json:"reply"` // "" for an event
}

type messageContract struct {
	Description string          `json:"description"`
	Fields      []fieldContract `json:"fields"`
}

type fieldContract struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"` // as in .proto; of the values if it is a map
	Repeated bool     `json:"repeated"`
	Key      string   `json:"key"`     // type of the keys of a map
	Message  string   `json:"message"` // full name
	Enum     []string `json:"enum"`    // names of the values
	Oneof    string   `json:"oneof"`
	Optional bool     `json:"optional"`

	Description string `json:"description"`
}

// contractOf describes services, and messages in messages.
func contractOf(services []*eventproto.Service, problem error) contract {
	c := contract{Services: []serviceContract{}, Messages: make(map[string]messageContract), Problem: textOf(problem)}
	for _, s := range services {
		described := serviceContract{
			Name: string(s.Desc.FullName()), File: s.Desc.ParentFile().Path(), Description: eventproto.Comment(s.Desc), Operations: []operationContract{},
		}
		for _, m := range s.Methods {
			described.Operations = append(described.Operations, operationOf(m))
			c.add(m.Desc.Input())
			if !m.Event() {
				c.add(m.Desc.Output())
			}
		}
		c.Services = append(c.Services, described)
	}
	return c
}

func operationOf(m *eventproto.Method) operationContract {
	o := operationContract{
		Operation: m.Operation, Name: m.Name, Description: eventproto.Comment(m.Desc),
		Publishes: m.Publishes(), Subscribes: m.Serves(),
		Topics: slices.Concat([]string{m.Topic}, m.AdditionalTopics), QoS: m.MethodDesc.QoS, Retain: m.Retain, Expiry: milliseconds(m.Expiry),
		Group: m.Group, OrderingKey: eventproto.Path(m.OrderingKey), IDField: eventproto.Path(m.ID), Codec: m.Codec,
		Request: string(m.Desc.Input().FullName()),
	}
	if m.DeadLetter != nil {
		o.DeadLetter = m.DeadLetter.Text
	}
	if !m.Event() {
		o.Reply = string(m.Desc.Output().FullName())
	}
	return o
}

// add describes a message and those of its fields.
func (c *contract) add(m protoreflect.MessageDescriptor) {
	name := string(m.FullName())
	if _, known := c.Messages[name]; known || len(c.Messages) >= maxMessages {
		return
	}
	described := messageContract{Description: eventproto.Comment(m), Fields: make([]fieldContract, 0, m.Fields().Len())}
	c.Messages[name] = described // before its fields: a message may contain itself
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		field := fieldContract{Name: string(f.Name()), Repeated: f.IsList(), Optional: f.HasOptionalKeyword(), Description: eventproto.Comment(f)}
		value := f
		if f.IsMap() {
			field.Key, value = f.MapKey().Kind().String(), f.MapValue()
		}
		field.Type = value.Kind().String()
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
			field.Oneof = string(o.Name())
		}
		if e := value.Enum(); e != nil {
			for v := range e.Values().Len() {
				field.Enum = append(field.Enum, string(e.Values().Get(v).Name()))
			}
		}
		if inner := value.Message(); inner != nil {
			field.Message = string(inner.FullName())
			c.add(inner)
		}
		described.Fields = append(described.Fields, field)
	}
	c.Messages[name] = described
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
