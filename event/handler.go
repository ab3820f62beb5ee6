package event

import (
	"context"
	"fmt"

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

// NewHandler makes a [Handler] of a method of the service. It is used by generated
// code.
func NewHandler[I, O any, In pointer[I], Out pointer[O]](m *MethodDesc, call func(context.Context, In) (Out, error), bind ...func(string, In) (string, error)) Handler {
	h := Handler{
		Method: m,
		New:    func() proto.Message { return In(new(I)) },
		Call: func(ctx context.Context, in proto.Message) (proto.Message, error) {
			typed, ok := in.(In)
			if !ok {
				return nil, fmt.Errorf("%s takes a %T, not a %T", m.Operation, In(nil), in)
			}
			return call(ctx, typed)
		},
	}
	for _, b := range bind {
		h.Bind = append(h.Bind, bindFunc(b))
	}
	return h
}

// pointer is the pointer to a generated struct.
type pointer[T any] interface {
	*T
	proto.Message
}

func bindFunc[I any, In pointer[I]](bind func(string, In) (string, error)) BindFunc {
	if bind == nil {
		return nil
	}
	return func(topic string, in proto.Message) (string, error) {
		typed, ok := in.(In)
		if !ok {
			return "", fmt.Errorf("a %T is not bound to a topic", in)
		}
		return bind(topic, typed)
	}
}

// TextOf makes a reader of a string field. It is used by generated code; the
// reader returns "" for another type of message.
func TextOf[In proto.Message](get func(In) string) func(proto.Message) string {
	return func(in proto.Message) string {
		if typed, ok := in.(In); ok {
			return get(typed)
		}
		return ""
	}
}
