package server

import (
	"context"
	"strings"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/middleware"
)

// maxReads is how many lists and states are made at a time: a page has a bound, but what
// is stored can be much larger when it is decoded.
const maxReads = 16

// queueReads lets so many requests that read be handled at a time, and others wait for
// their turn within their time.
func (r *Room) queueReads() middleware.Middleware {
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			if !reads(operation(ctx)) {
				return next(ctx, req)
			}
			select {
			case r.reads <- struct{}{}:
			case <-ctx.Done():
				return nil, errors.ServiceUnavailable(reasonBusy, "too many lists at a time; try again later")
			}
			defer func() { <-r.reads }()
			return next(ctx, req)
		}
	}
}

// reads reports whether an operation is a list or a state.
func reads(operation string) bool {
	method := operation[strings.LastIndexByte(operation, '/')+1:]
	return strings.HasPrefix(method, "List") || strings.HasPrefix(method, "Get")
}
