package server

import (
	"context"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"
)

// requestMiddleware is what every HTTP and gRPC request goes through.
func requestMiddleware(room *Room, logger log.Logger) []middleware.Middleware {
	return []middleware.Middleware{
		tellRetryAfter(),
		logFailures(logger),
		room.queueReads(),
		recoverPanics(logger),
	}
}

// logFailures logs requests that failed through no fault of the caller, with
// the cause that the answer leaves out. Requests themselves are not logged:
// they carry keys; nor are those that are refused for want of room, one by one:
// they come in floods, and the outbox tells of that itself.
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
