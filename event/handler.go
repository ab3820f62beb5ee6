package event

import (
	"context"

	"google.golang.org/protobuf/proto"
)

// ServiceRegistrar is what generated code registers a service with: the Server of package
// transport/mqtt, or a fake in a test.
type ServiceRegistrar interface {
	// RegisterService registers one handler for each method of the description that has one.
	// Errors, including those of the options, are returned by Start.
	RegisterService(d *ServiceDesc, handlers []Handler, opts ...RegisterOption)
}

// Handler is one method of a service in the form that a [ServiceRegistrar] runs. Its functions
// are safe for concurrent use.
type Handler struct {
	// Method describes the method.
	Method *MethodDesc
	// New returns a new message to decode into.
	New func() proto.Message
	// Bind sets the fields that are part of the topic, with one function for each of
	// Method.Filters; nil if the template has no parameters. The topic takes precedence over
	// the payload, because the access rules of the broker protect the topic and not the
	// payload. mismatch is the name of a field whose value in the payload was different, or
	// "".
	Bind []BindFunc
	// Call handles a message. The reply of an event is ignored.
	Call func(ctx context.Context, in proto.Message) (reply proto.Message, err error)
}

// BindFunc sets fields of in from a topic name.
type BindFunc func(topic string, in proto.Message) (mismatch string, err error)
