package option

import (
	"context"
	"slices"
)

// Context is the context of kratos-transport's options, with settings of ours. An option may
// replace that context at any time (WithOptionContext, WithPublishContext,
// WithSubscribeContext), which must not lose earlier settings. While options are applied,
// changes go directly to the settings, and the Context is put back after each option.
type Context[S any] struct {
	context.Context
	// Settings are what the options change; nil unless options are being applied.
	Settings *S
	pending  []func(*S) // changes made while no options were being applied
}

type contextKey[S any] struct{}

// Value implements [context.Context].
func (c *Context[S]) Value(key any) any {
	if _, ok := key.(contextKey[S]); ok {
		return c
	}
	return c.Context.Value(key)
}

func contextIn[S any](ctx context.Context) *Context[S] {
	c, _ := ctx.Value(contextKey[S]{}).(*Context[S])
	return c
}

// Change makes a change to the settings that ctx carries, and returns the context to
// continue with.
func Change[S any](ctx context.Context, set func(*S)) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	c := contextIn[S](ctx)
	if c != nil && c.Settings != nil {
		set(c.Settings)
		return ctx
	}
	next := &Context[S]{Context: ctx}
	if c != nil {
		next.pending = slices.Clip(c.pending)
	}
	next.pending = append(next.pending, set)
	return next
}

// keep puts c back into *ctx if an option replaced the context, and makes the changes
// that such an option had collected.
func (c *Context[S]) keep(ctx *context.Context) {
	if *ctx == nil {
		*ctx = context.Background()
	}
	found := contextIn[S](*ctx)
	if found == c {
		return
	}
	if found != nil {
		for _, set := range found.pending {
			set(c.Settings)
		}
	}
	c.Context = *ctx
	*ctx = c
}

// release ends applying options, and returns the context that the user's options made.
func (c *Context[S]) release(ctx context.Context) context.Context {
	c.Settings = nil
	if ctx == context.Context(c) {
		return c.Context
	}
	return ctx
}

// Apply applies options to generic and to the settings of c. ctx is the context of
// generic, through which options reach the settings.
func Apply[S any, O ~func(*G), G any](c *Context[S], generic *G, ctx *context.Context, opts []O) {
	c.keep(ctx)
	for _, opt := range opts {
		if opt != nil {
			opt(generic)
			c.keep(ctx)
		}
	}
	*ctx = c.release(*ctx) //nolint:fatcontext // takes the carrier out again
}
