package event

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// StatusError is an error in the form of Kratos: a code, a reason, a message and metadata. A
// request returns it when its replier answered with an error, and [StatusOf] reads it from any
// error. This module links no version of Kratos for it. FromError, Code and Reason of Kratos
// v2 and v3 nevertheless understand it with every code, also when it is wrapped, and so does
// gRPC.
type StatusError struct {
	// Code is an HTTP status code.
	Code int
	// Reason is a stable word for programs; "" if there is none.
	Reason string
	// Message is the text for people.
	Message string
	// Metadata has further details; nil if there are none.
	Metadata map[string]string
}

// Error returns code, reason and message.
func (s *StatusError) Error() string {
	if s.Reason == "" {
		return fmt.Sprintf("%d: %s", s.Code, s.Message)
	}
	return fmt.Sprintf("%d %s: %s", s.Code, s.Reason, s.Message)
}

// GRPCStatus lets a gRPC server send the error. Reason and metadata are sent as ErrorInfo, as
// Kratos expects. A code that gRPC does not have is mapped to the nearest one: 413 and 422 to
// INVALID_ARGUMENT, 502 to UNAVAILABLE, others to UNKNOWN.
func (s *StatusError) GRPCStatus() *status.Status {
	plain := status.New(grpcCode(s.Code), s.Message)
	full, err := plain.WithDetails(&errdetails.ErrorInfo{Reason: s.Reason, Metadata: s.Metadata})
	if err != nil {
		return plain // a text is not valid UTF-8
	}
	return full
}

// As lets errors.As find the error as a Kratos error of any version.
func (s *StatusError) As(target any) bool {
	if !wantsStatus(target) {
		return false
	}
	if t, ok := target.(*kratosError); ok {
		*t = stated{s}
		return true
	}
	return s.fill(target)
}

// Is lets errors.Is find the error by a Kratos error of any version with the same code
// and reason, as Kratos compares its own.
func (s *StatusError) Is(target error) bool { return isKratos(target, s.Code, s.Reason) }

// isKratos reports whether target is a Kratos error with this code and reason.
func isKratos(target error, code int, reason string) bool {
	k, ok := target.(kratosError) //nolint:errorlint // errors of ours, which answer As, are compared as they are
	return ok && int(k.GetCode()) == code && k.GetReason() == reason
}

// kratosMessage is the name of the message, from errors/errors.proto, that the errors of all
// Kratos versions embed.
const kratosMessage protoreflect.FullName = "errors.Status"

// wantsStatus reports whether target is a type that a status can be converted to.
func wantsStatus(target any) bool {
	if _, ok := target.(*kratosError); ok {
		return true
	}
	t := reflect.TypeOf(target).Elem()
	return t.Kind() == reflect.Pointer && t.Implements(reflect.TypeFor[proto.Message]())
}

// fill sets target, the argument of errors.As, if it is a pointer to a Kratos error. The type
// is recognised by its embedded message, because a program that links two versions of Kratos
// panics at start, so this package must import neither.
func (s *StatusError) fill(target any) bool {
	v := reflect.New(reflect.TypeOf(target).Elem().Elem())
	p, ok := reflect.TypeAssert[proto.Message](v)
	if !ok || p.ProtoReflect().Descriptor().FullName() != kratosMessage {
		return false
	}
	m := p.ProtoReflect()
	fields := m.Descriptor().Fields()
	m.Set(fields.ByName("code"), protoreflect.ValueOfInt32(int32(s.Code)))
	m.Set(fields.ByName("reason"), protoreflect.ValueOfString(s.Reason))
	m.Set(fields.ByName("message"), protoreflect.ValueOfString(s.Message))
	metadata := m.Mutable(fields.ByName("metadata")).Map()
	for key, value := range s.Metadata {
		metadata.Set(protoreflect.ValueOfString(key).MapKey(), protoreflect.ValueOfString(value))
	}
	reflect.ValueOf(target).Elem().Set(v)
	return true
}

// kratosError is the method set that the errors of all Kratos versions share.
type kratosError interface {
	error
	GetCode() int32
	GetReason() string
	GetMessage() string
	GetMetadata() map[string]string
}

// stated adapts a StatusError to the method set of a Kratos error.
type stated struct{ *StatusError }

func (s stated) GetCode() int32                 { return int32(s.Code) }
func (s stated) GetReason() string              { return s.Reason }
func (s stated) GetMessage() string             { return s.Message }
func (s stated) GetMetadata() map[string]string { return s.Metadata }

// StatusIn returns the status of the first Kratos error of any version, [Error] or
// [StatusError] in err's chain, and reports whether there is one.
func StatusIn(err error) (*StatusError, bool) {
	var k kratosError
	if !errors.As(err, &k) {
		return nil, false
	}
	if s, ok := k.(stated); ok {
		return s.StatusError, true
	}
	return &StatusError{Code: int(k.GetCode()), Reason: k.GetReason(), Message: k.GetMessage(), Metadata: k.GetMetadata()}, true
}

// StatusOf returns the status of an error as Kratos' FromError does: the result of [StatusIn],
// else of a gRPC status in err's chain, else code 500 with the text of err. It returns nil for
// nil.
func StatusOf(err error) *StatusError {
	if err == nil {
		return nil
	}
	if s, ok := StatusIn(err); ok {
		return s
	}
	g, ok := status.FromError(err)
	if !ok {
		return &StatusError{Code: http.StatusInternalServerError, Message: err.Error()}
	}
	s := &StatusError{Code: httpCode(g.Code()), Message: g.Message()}
	for _, detail := range g.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			s.Reason, s.Metadata = info.GetReason(), info.GetMetadata()
			break
		}
	}
	return s
}

// statusClientClosed is the code of a request that the caller canceled; net/http has no name
// for it.
const statusClientClosed = 499

// httpCode returns the HTTP status code of a gRPC code, as Kratos maps it.
func httpCode(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.Canceled:
		return statusClientClosed
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// grpcCode returns the gRPC code of an HTTP status code: as Kratos maps it, or the nearest one
// where Kratos maps to UNKNOWN. It never returns OK.
func grpcCode(code int) codes.Code {
	switch code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusConflict:
		return codes.Aborted
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case statusClientClosed:
		return codes.Canceled
	case http.StatusInternalServerError:
		return codes.Internal
	case http.StatusNotImplemented:
		return codes.Unimplemented
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	}
	return codes.Unknown
}
