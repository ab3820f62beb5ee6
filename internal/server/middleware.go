package server

import (
	"context"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"
)

// requestMiddleware returns the middleware of every HTTP and gRPC request.
func requestMiddleware(room *Room, logger log.Logger) []middleware.Middleware {
	return []middleware.Middleware{
		tellRetryAfter(),
		logFailures(logger),
		room.queueReads(),
		recoverPanics(logger),
	}
}

// logFailures logs requests that fail through no fault of the caller, with the cause
// that the answer leaves out. It does not log the requests themselves, because they
// contain keys, nor requests refused for lack of room, because they come in large
// numbers and the outbox logs that state itself.
func logFailures(logger log.Logger) middleware.Middleware {
	helper := log.NewHelper(logger)
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			reply, err := next(ctx, req)
			if err == nil {
				return reply, nil
			}
			if e := errors.FromError(err); e.Code >= 500 && e.Code != 501 && !forNow(e) {
				helper.WithContext(ctx).Errorw("msg", "request failed", "operation", operation(ctx),
					"code", e.Code, "reason", e.Reason, "error", err)
			}
			return reply, err
		}
	}
}

func operation(ctx context.Context) string {
	if tr, ok := transport.FromServerContext(ctx); ok {
		return tr.Operation()
	}
	return ""
}
