package event

import (
	"time"

	"google.golang.org/protobuf/proto"
)

// ServiceDesc describes a service of events. Generated code has one for each;
// it must not be changed.
type ServiceDesc struct {
	// Name is the full name in proto: pkg.Service.
	Name string
	// Methods in the order of the file.
	Methods []MethodDesc
	// Presence is nil unless the service declares it.
	Presence *PresenceDesc
	// File is the path of the .proto file.
	File string
}

// Method finds a method by its name in proto; nil without one.
func (d *ServiceDesc) Method(name string) *MethodDesc {
	for i := range d.Methods {
		if d.Methods[i].Name == name {
			return &d.Methods[i]
		}
	}
	return nil
}

// MethodDesc describes an event, or a request. What is the consumer's own
// business, such as Group, is a default that its configuration overrides by
// Operation.
type MethodDesc struct {
	// Name is the method's in proto, Operation what middleware selects by:
	// /pkg.Service/Method.
	Name      string
	Operation string
	// Topic is the template, the prefix of the service included, and
	// AdditionalTopics are those that a consumer listens to as well. Filters are
	// the topic filters of all of them, in that order.
	Topic            string
	AdditionalTopics []string
	Filters          []string
	// QoS, Retain, Expiry (0 is for ever) and Codec are those of the option, of
	// the service, or the defaults 1, false, 0 and "proto".
	QoS    byte
	Retain bool
	Expiry time.Duration
	Codec  string
	// Key returns the ordering key of a message, ID its id; nil where the option
	// names no field for it. KeyField is the path of the key's field.
	Key      func(in proto.Message) string
	KeyField string
	ID       func(in proto.Message) string
	// IDsSpanTopics says that ids are unique over all topics of the method. Without it
	// an id counts within its topic.
	IDsSpanTopics bool
	// KeysSpanTopics says that a key orders all topics of a filter. Without it a key
	// counts within its topic, and one that is a parameter of the topic within the
	// parameters in front of it.
	KeysSpanTopics bool
	// Group is the shared subscription's; "" is none.
	Group string
	// TrustSender takes trace context, baggage and metadata from whoever publishes.
	TrustSender bool
	// IgnoreRetained keeps messages from the handler that the broker had kept.
	IgnoreRetained bool
	// DeadLetter is a topic template; "" is none.
	DeadLetter string
	// Retry is nil unless the option says how.
	Retry *RetryDesc
	// Unrouted is what an outbox does with a message that the broker has no
	// subscriber for; nil is the default.
	Unrouted *Unrouted
	// Reply is nil for an event.
	Reply *ReplyDesc
	// Batch is nil unless handlers may take many messages at once.
	Batch *BatchDesc
}

// RetryDesc says how a failed handler is retried; 0 is the default of the
// subscriber.
type RetryDesc struct {
	MaxAttempts      int
	MinBackoff       time.Duration
	MaxBackoff       time.Duration
	PermanentReasons []string
}

// ReplyDesc says how replies travel.
type ReplyDesc struct {
	// Timeout is how long a client waits when its context has no deadline.
	Timeout time.Duration
	// QoS of the reply.
	QoS byte
	// Topics are the templates of response topics that a requester may name; none is
	// the default.
	Topics []string
}

// BatchDesc bounds batches.
type BatchDesc struct {
	// MaxSize is the most messages, MaxWait how long the first one waits.
	MaxSize int
	MaxWait time.Duration
}

// PresenceDesc says where an instance of a service tells that it is there.
type PresenceDesc struct {
	// Topic is a template with the one parameter {client_id}, Filter its topic
	// filter.
	Topic  string
	Filter string
	QoS    byte
}
