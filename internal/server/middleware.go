package server

import (
	"context"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// requestMiddleware returns the middleware of every HTTP and gRPC request.
func requestMiddleware(room *Room, telemetry *Telemetry, logger log.Logger) []middleware.Middleware {
	return append(telemetry.spans(),
		tellRetryAfter(),
		logFailures(logger),
		room.queueReads(),
		recoverPanics(logger),
	)
}

// logFailures logs requests that fail through no fault of the caller, with the cause
// that the answer leaves out. It does not log the requests themselves, because they
// contain keys, nor requests refused for lack of room, because they come in large
// numbers and the outbox logs that state itself.
func logFailures(logger log.Logger) middleware.Middleware {
	helper := log.NewHelper(logger)
	lines := limiter(helper)
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			reply, err := next(ctx, req)
			if err == nil {
				return reply, nil
			}
			if e := errors.FromError(err); e.Code >= 500 && e.Code != 501 && !forNow(e) {
				operation := operation(ctx)
				lines.Few("request failed", operation, func(more []any) {
					helper.WithContext(ctx).Errorw(append([]any{
						log.DefaultMessageKey, "request failed", logsafe.KeyRPCMethod, operation,
						logsafe.KeyStatus, e.Code, logsafe.KeyErrorType, e.Reason, logsafe.KeyError, err,
					}, more...)...)
				})
			}
			return reply, err
		}
	}
}

// limiter limits the lines that callers can repeat.
func limiter(helper *log.Helper) *logsafe.Limiter {
	return &logsafe.Limiter{Closed: func(kind string, suppressed int) {
		helper.Warnw(log.DefaultMessageKey, "lines of a kind were left out since the last one", logsafe.KeyKind, kind, logsafe.KeySuppressed, suppressed)
	}}
}

func operation(ctx context.Context) string {
	if tr, ok := transport.FromServerContext(ctx); ok {
		return tr.Operation()
	}
	return ""
}
