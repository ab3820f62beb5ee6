package event

import (
	"time"

	"google.golang.org/protobuf/proto"
)

// ServiceDesc describes a service of events. Generated code has one for each service; it must
// not be changed.
type ServiceDesc struct {
	// Name is the full name in proto: pkg.Service.
	Name string
	// Methods are in the order of the .proto file.
	Methods []MethodDesc
	// Presence is nil unless the service declares it.
	Presence *PresenceDesc
	// File is the path of the .proto file.
	File string
}

// Method returns the method with a name in proto, or nil if there is none.
func (d *ServiceDesc) Method(name string) *MethodDesc {
	for i := range d.Methods {
		if d.Methods[i].Name == name {
			return &d.Methods[i]
		}
	}
	return nil
}

// MethodDesc describes an event or a request. Generated code writes every field that an
// option of the method sets. Settings that concern only the consumer, such as
// Group, are defaults: the configuration can override them for an operation.
type MethodDesc struct {
	// Name is the name of the method in proto. Operation is /pkg.Service/Method; middleware
	// and the configuration select by it.
	Name      string
	Operation string
	// Topic is the topic template, including the prefix of the service. AdditionalTopics are
	// further templates that a consumer subscribes to. Filters are the topic filters of all
	// these templates, that of Topic first.
	Topic            string
	Filters          []string
	AdditionalTopics []string
	// QoS, Codec, Retain and Expiry (0 means no limit) are taken from the option of the
	// method, else of the service, else they are 1, "proto", false and 0.
	QoS    byte
	Codec  string
	Retain bool
	Expiry time.Duration
	// Group is the group of the shared subscription; "" means that it is not shared.
	Group string
	// DeadLetter is a topic template; "" means no dead-letter topic.
	DeadLetter string
	// Key returns the ordering key of a message and ID its message id. Either is nil if the
	// options declare no field for it. KeyField is the path of the field of the key.
	Key      func(in proto.Message) string
	KeyField string
	ID       func(in proto.Message) string
	// TrustSender adopts trace context, baggage and metadata of the sender.
	TrustSender bool
	// IgnoreRetained acknowledges retained messages without calling the handler.
	IgnoreRetained bool
	// IDsSpanTopics makes message ids unique over all topics of the method. By default an id
	// is unique within its topic only.
	IDsSpanTopics bool
	// KeysSpanTopics makes a key order the messages of all topics of a filter. By default a
	// key applies within its topic; a key that is a parameter of the topic applies within the
	// parameters before it.
	KeysSpanTopics bool
	// Retry is nil if the options do not set it.
	Retry *RetryDesc
	// Unrouted is what an outbox does with a message for which the broker has no subscriber;
	// nil means the default.
	Unrouted *Unrouted
	// Reply is nil for an event.
	Reply *ReplyDesc
	// Batch is nil unless a batch handler can be registered for the method.
	Batch *BatchDesc
}

// RetryDesc describes how a failed message is retried. A zero field means the default of the
// subscriber.
type RetryDesc struct {
	MaxAttempts      int
	MinBackoff       time.Duration
	MaxBackoff       time.Duration
	PermanentReasons []string
}

// ReplyDesc describes how replies are sent.
type ReplyDesc struct {
	// Timeout is how long a client waits for the reply if its context has no deadline.
	Timeout time.Duration
	// QoS is that of the reply.
	QoS byte
	// Topics are the templates of the response topics that a requester may name. Empty means
	// the default.
	Topics []string
}

// BatchDesc limits batches.
type BatchDesc struct {
	// MaxSize is the maximum number of messages. MaxWait is how long the first message waits
	// for others.
	MaxSize int
	MaxWait time.Duration
}

// PresenceDesc describes where an instance of a service announces that it is online.
type PresenceDesc struct {
	// Topic is a template with the single parameter {client_id}. Filter is its topic filter.
	Topic  string
	Filter string
	QoS    byte
}
