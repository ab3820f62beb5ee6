package server

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-kratos/kratos/v2/errors"
	ggrpc "google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
)

// bounded registers services whose requests are decoded within the bounds of events
// and with memory from the room.
type bounded struct {
	ggrpc.ServiceRegistrar
	room *Room
}

// RegisterService implements grpc.ServiceRegistrar.
func (b *bounded) RegisterService(desc *ggrpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods = slices.Clone(desc.Methods)
	for i := range d.Methods {
		d.Methods[i].Handler = b.method(d.Methods[i].Handler)
	}
	b.ServiceRegistrar.RegisterService(&d, impl)
}

// method wraps a generated method handler, which calls decode before any interceptor
// runs.
func (b *bounded) method(next ggrpc.MethodHandler) ggrpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, interceptor ggrpc.UnaryServerInterceptor) (any, error) {
		s := b.room.share()
		reply, err := next(srv, ctx, func(v any) error {
			r := &request{message: v, share: s}
			if err := decode(r); err != nil {
				return err
			}
			return r.err
		}, interceptor)
		if a, ok := reply.(*answer); ok && err == nil {
			if m, ok := a.message.(proto.Message); ok {
				err = s.take(answerMemory(m))
			}
		}
		visitOf(ctx).then(s.giveBack)
		if errors.Reason(err) == reasonBusy {
			err = &tryLaterError{errors.FromError(err)}
		}
		return reply, err
	}
}

// request is the target that the codec decodes for a bounded service.
type request struct {
	message any
	share   *share
	err     error // a Kratos error; gRPC would replace the codec's own
}

// boundedCodec checks requests before it decodes them.
type boundedCodec struct{ encoding.CodecV2 }

// Marshal implements encoding.CodecV2.
func (c boundedCodec) Marshal(v any) (mem.BufferSlice, error) {
	if a, ok := v.(*answer); ok {
		return a.encode()
	}
	return c.CodecV2.Marshal(v) // from a streaming call
}

// Unmarshal implements encoding.CodecV2.
func (c boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok { // a service of gRPC or Kratos itself
		r = &request{message: v}
	}
	m, ok := r.message.(proto.Message)
	if !ok {
		return errNoMessage(r.message)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	err := bounds.Check(bounds.Proto, buf.ReadOnlyData(), m)
	if err != nil {
		err = errors.BadRequest(reasonCodec, err.Error())
	} else if r.share != nil {
		err = r.share.take(buf.Len() + bounds.Memory(buf.Len(), m))
	}
	if err == nil {
		if err = proto.Unmarshal(buf.ReadOnlyData(), m); err != nil {
			err = errors.BadRequest(reasonCodec, err.Error())
		}
	}
	if r.share == nil {
		return err
	}
	r.err = err
	return nil
}

func errNoMessage(v any) error { return fmt.Errorf("message is a %T, want a proto.Message", v) }
