package event

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// ServiceRegistrar is where generated code registers a service: the Server of
// package transport/mqtt, or a fake in a test.
type ServiceRegistrar interface {
	// RegisterService registers one handler for each method of the description
	// that has one. What is wrong, with the options too, is an error of Start.
	RegisterService(d *ServiceDesc, handlers []Handler, opts ...RegisterOption)
}

// Handler is a method of a service in the form that a [ServiceRegistrar] runs.
// Its functions are safe for concurrent use.
type Handler struct {
	// Method describes it.
	Method *MethodDesc
	// New makes a message to decode into.
	New func() proto.Message
	// Bind sets the fields that the topic carries, one function for each of
	// Method.Filters; nil where the template has no parameter. The topic wins
	// over the payload, because the broker's access rules guard the topic and
	// not the payload: mismatch names a field that the payload had otherwise,
	// "" for none.
	Bind []BindFunc
	// Call handles a message. For an event the reply has no meaning.
	Call func(ctx context.Context, in proto.Message) (reply proto.Message, err error)
}

// BindFunc sets fields of in from a topic.
type BindFunc func(topic string, in proto.Message) (mismatch string, err error)
