package eventimpl

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// NewHandler returns the [event.Handler] of a method.
func NewHandler[I, O any, In pointer[I], Out pointer[O]](m *event.MethodDesc, call func(context.Context, In) (Out, error), bind ...func(string, In) (string, error)) event.Handler {
	h := event.Handler{
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

func bindFunc[I any, In pointer[I]](bind func(string, In) (string, error)) event.BindFunc {
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

// TextOf returns a function that reads a string field. It returns "" for another message type.
func TextOf[In proto.Message](get func(In) string) func(proto.Message) string {
	return func(in proto.Message) string {
		if typed, ok := in.(In); ok {
			return get(typed)
		}
		return ""
	}
}

// NewBatch returns the option that registers a batch handler.
func NewBatch[I any, In pointer[I]](m *event.MethodDesc, call func(context.Context, []In) error, opts ...event.BatchOption) event.RegisterOption {
	b := event.Batch{Method: m, Call: func(ctx context.Context, in []proto.Message) error {
		typed := make([]In, len(in))
		for i := range in {
			var ok bool
			if typed[i], ok = in[i].(In); !ok {
				return fmt.Errorf("%s takes a %T, not a %T", m.Operation, In(nil), in[i])
			}
		}
		return call(ctx, typed)
	}}
	if m.Batch != nil {
		b.MaxSize, b.MaxWait = m.Batch.MaxSize, m.Batch.MaxWait
	}
	for _, o := range opts {
		o(&b)
	}
	return b
}
