// Package remote serves package operator to other programs: by gRPC and by HTTP with JSON, both
// guarded by a token. It links no version of Kratos, so that either can mount it.
package remote

import (
	"context"
	"net"

	"google.golang.org/grpc"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// Server serves an operator. It is safe for concurrent use, and needs no end.
type Server struct {
	operatorv1.UnimplementedOperatorServiceServer

	operator *operator.Operator
	guard    Guard
}

// New returns a server that demands the token of every call, as "Authorization: Bearer <token>".
// Without a token it serves callers on this machine only.
func New(o *operator.Operator, token string) *Server {
	return &Server{operator: o, guard: NewGuard(token)}
}

// Check returns [ErrNoToken] if the server must not be mounted on a listener with this address:
// it is beyond loopback and there is no token. A program calls it when it starts, so that it
// does not start to refuse everybody.
func (s *Server) Check(listens net.Addr) error { return s.guard.Check(listens) }

// Register registers the service with a gRPC server. The token is checked before a request is
// decoded.
func (s *Server) Register(r grpc.ServiceRegistrar) { r.RegisterService(s.desc(), s) }

// desc describes the service, its methods guarded.
func (s *Server) desc() *grpc.ServiceDesc {
	d := operatorv1.OperatorService_ServiceDesc
	d.Methods = make([]grpc.MethodDesc, 0, len(operatorv1.OperatorService_ServiceDesc.Methods))
	for _, m := range operatorv1.OperatorService_ServiceDesc.Methods {
		next := m.Handler
		m.Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			if err := s.guard.grpc(ctx); err != nil {
				return nil, err
			}
			return next(srv, ctx, decode, interceptor)
		}
		d.Methods = append(d.Methods, m)
	}
	return &d
}
