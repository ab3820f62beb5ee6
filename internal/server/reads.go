package server

import (
	"context"
	"strings"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/middleware"
)

// maxReads is how many lists and states are computed at the same time. A page is
// bounded, but the stored values can be much larger once they are decoded.
const maxReads = 16

// queueReads bounds the read requests that are handled at the same time; others wait
// until their context ends.
func (r *Room) queueReads() middleware.Middleware {
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			if !reads(operation(ctx)) {
				return next(ctx, req)
			}
			select {
			case r.reads <- struct{}{}:
			case <-ctx.Done():
				return nil, errors.ServiceUnavailable(reasonBusy, "too many lists are requested at the same time; try again later")
			}
			defer func() { <-r.reads }()
			return next(ctx, req)
		}
	}
}

// reads reports whether an operation reads a list or a state.
func reads(operation string) bool {
	method := operation[strings.LastIndexByte(operation, '/')+1:]
	return strings.HasPrefix(method, "List") || strings.HasPrefix(method, "Get")
}
