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

// Method is an event or a request.
type Method struct {
	*protogen.Method
	// Topics are the template of the option and the additional ones.
	Topics     []*Topic
	DeadLetter *Topic // nil if not set
	Side       v1.Side
	QoS        uint32
	Retain     bool
	Expiry     time.Duration
	Codec      string
	Group      string
	// OrderingKey and ID are paths of fields, nil if not set.
	OrderingKey, ID []*protogen.Field
	Retry           *v1.RetryRule
	Reply           *Reply // nil for an event
	Batch           *Batch
	Unrouted        *Unrouted // nil means the policy accept
	TrustSender     bool
	IgnoreRetained  bool
	// IDsSpanTopics and KeysSpanTopics have the values of the options.
	IDsSpanTopics, KeysSpanTopics bool
}

// Topic is a template bound to the fields of the method's message.
type Topic struct {
	*Template
	// Fields has the path of the field for each level that is a parameter, otherwise nil.
	Fields [][]*protogen.Field
}

// Reply describes how replies are sent.
type Reply struct {
	Timeout time.Duration
	QoS     uint32
	Topics  []*Topic // additional response topics that a requester may name
}

// Batch bounds the batches of a handler.
type Batch struct {
	MaxSize uint32
	MaxWait time.Duration
}

// Unrouted bounds how long a message that nobody subscribes to is sent again.
type Unrouted struct{ MaxAge time.Duration }

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

// Operation returns the operation, which middleware is selected by.
func (m *Method) Operation() string {
	return "/" + string(m.Parent.Desc.FullName()) + "/" + string(m.Desc.Name())
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
