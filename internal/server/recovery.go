package server

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
)

// recoverPanics turns a panic into an error and logs its stack. Unlike Kratos' own
// middleware it does not log the request, which contains a key.
func recoverPanics(logger log.Logger) middleware.Middleware {
	helper := log.NewHelper(logger)
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (reply any, err error) {
			defer func() {
				if p := recover(); p != nil {
					helper.WithContext(ctx).Errorw("msg", "request panicked", "operation", operation(ctx),
						"request", fmt.Sprintf("%T", req), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
					err = recovery.ErrUnknownRequest
				}
			}()
			return next(ctx, req)
		}
	}
}
