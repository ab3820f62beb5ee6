package eventproto

import (
	"strings"
	"time"

	"google.golang.org/protobuf/compiler/protogen"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// Service is a service with events.
type Service struct {
	*protogen.Service
	File     *protogen.File
	Methods  []*Method
	Presence *Presence
}

// Method is an event, or a request.
type Method struct {
	*protogen.Method
	// Topics has the template of the option, then the additional ones.
	Topics     []*Topic
	DeadLetter *Topic // nil without one
	Side       v1.Side
	QoS        uint32
	Retain     bool
	Expiry     time.Duration
	Codec      string
	Group      string
	// OrderingKey and ID are paths of fields, nil without one.
	OrderingKey, ID []*protogen.Field
	Retry           *v1.RetryRule
	Reply           *Reply // nil for an event
	Batch           *Batch
	Unrouted        *Unrouted // nil accepts
	TrustSender     bool
	IgnoreRetained  bool
	// IDsSpanTopics and KeysSpanTopics are as in the option.
	IDsSpanTopics, KeysSpanTopics bool
}

// Topic is a template bound to the fields of the method's message.
type Topic struct {
	*Template
	// Fields has the path of each level that is a parameter, nil for others.
	Fields [][]*protogen.Field
}

// Reply says how replies travel.
type Reply struct {
	Timeout time.Duration
	QoS     uint32
	Topics  []*Topic // that a requester may name; none is the default
}

// Batch bounds batches.
type Batch struct {
	MaxSize uint32
	MaxWait time.Duration
}

// Unrouted says for how long a message is sent again that nobody subscribes to.
type Unrouted struct{ MaxAge time.Duration }

// Presence says where an instance of the service tells that it is there.
type Presence struct {
	Topic *Template
	QoS   uint32
}

// Defaults of what the options leave out.
const (
	DefaultQoS          = 1
	DefaultCodec        = "proto"
	DefaultReplyTimeout = 5 * time.Second
	DefaultBatchSize    = 100
	DefaultBatchWait    = 50 * time.Millisecond
)

// Operation is what middleware selects by.
func (m *Method) Operation() string {
	return "/" + string(m.Parent.Desc.FullName()) + "/" + string(m.Desc.Name())
}

// Event reports whether no reply is wanted.
func (m *Method) Event() bool { return m.Reply == nil }

// Serves reports whether the server has the method.
func (m *Method) Serves() bool { return m.Side != v1.Side_SIDE_PUBLISH_ONLY }

// Publishes reports whether the client has the method.
func (m *Method) Publishes() bool { return m.Side != v1.Side_SIDE_SUBSCRIBE_ONLY }

// Path is a path of fields as it is written in an option.
func Path(fields []*protogen.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f.Desc.Name())
	}
	return strings.Join(names, ".")
}
