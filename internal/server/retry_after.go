package server

import (
	"context"
	"strconv"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

const (
	// retryAfterHeader is the header of RFC 9110, 10.2.3, and the key of gRPC metadata.
	retryAfterHeader = "Retry-After"
	// retryAfter is when to retry a report that the outbox has no room for: while the
	// broker is connected, the outbox empties within moments.
	retryAfter = time.Second
)

// tellRetryAfter adds the time to try again to a refusal for lack of room: as a
// Retry-After header, and as a RetryInfo for gRPC clients.
func tellRetryAfter() middleware.Middleware {
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			reply, err := next(ctx, req)
			if err == nil || !forNow(err) {
				return reply, err
			}
			if tr, ok := transport.FromServerContext(ctx); ok {
				tr.ReplyHeader().Set(retryAfterHeader, retryAfterSeconds())
			}
			return reply, &tryLaterError{errors.FromError(err)}
		}
	}
}

func retryAfterSeconds() string { return strconv.Itoa(int(retryAfter.Seconds())) }

// forNow reports whether a request was refused for lack of room.
func forNow(err error) bool {
	switch errors.Reason(err) {
	case reportv1.ErrorReason_OUTBOX_FULL.String(), reportv1.ErrorReason_SAVER_BEHIND.String(), reasonBusy:
		return true
	}
	return false
}

// tryLaterError is a Kratos error with a RetryInfo in its gRPC details.
type tryLaterError struct{ cause *errors.Error }

// Error implements error.
func (e *tryLaterError) Error() string { return e.cause.Error() }

// Unwrap returns the Kratos error.
func (e *tryLaterError) Unwrap() error { return e.cause }

// GRPCStatus returns the status that gRPC sends.
func (e *tryLaterError) GRPCStatus() *status.Status {
	s := e.cause.GRPCStatus()
	with, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	if err != nil {
		return s
	}
	return with
}
