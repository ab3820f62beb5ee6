package server

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/middleware/recovery"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// recoverPanics turns a panic into an error and logs its stack. Unlike Kratos' own
// middleware it does not log the request, which contains a key.
func recoverPanics(logger log.Logger) middleware.Middleware {
	helper := log.NewHelper(logger)
	lines := limiter(helper)
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (reply any, err error) {
			defer func() {
				if p := recover(); p != nil {
					operation, stack := operation(ctx), string(debug.Stack())
					lines.Few("request panicked", operation, func(more []any) {
						helper.WithContext(ctx).Errorw(append([]any{
							log.DefaultMessageKey, "request panicked", logsafe.KeyRPCMethod, operation,
							"request", fmt.Sprintf("%T", req), logsafe.KeyPanic, fmt.Sprint(p), "stack", stack,
						}, more...)...)
					})
					err = recovery.ErrUnknownRequest
				}
			}()
			return next(ctx, req)
		}
	}
}
