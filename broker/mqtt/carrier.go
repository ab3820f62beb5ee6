package mqtt

import (
	"context"
	"slices"
)

// carrier transports settings of this package in an option context of kratos-transport.
// Its options may replace that context at any time (WithOptionContext,
// WithPublishContext, WithSubscribeContext), which must not lose earlier settings.
// While options are applied, changes go directly to the settings, and [carrier.keep]
// puts the carrier back after each option.
type carrier[S any] struct {
	context.Context
	settings *S         // nil unless live
	pending  []func(*S) // changes made while nobody applied options
}

type carrierKey[S any] struct{}

// Value implements context.Context.
func (c *carrier[S]) Value(key any) any {
	if _, ok := key.(carrierKey[S]); ok {
		return c
	}
	return c.Context.Value(key)
}

func carrierIn[S any](ctx context.Context) *carrier[S] {
	c, _ := ctx.Value(carrierKey[S]{}).(*carrier[S])
	return c
}

// change makes a change to the settings that ctx carries, and returns the context to
// continue with.
func change[S any](ctx context.Context, set func(*S)) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	c := carrierIn[S](ctx)
	if c != nil && c.settings != nil {
		set(c.settings)
		return ctx
	}
	next := &carrier[S]{Context: ctx}
	if c != nil {
		next.pending = slices.Clip(c.pending)
	}
	next.pending = append(next.pending, set)
	return next
}

// keep puts c back into *ctx if an option replaced the context, and makes the changes
// that such an option had collected.
func (c *carrier[S]) keep(ctx *context.Context) {
	if *ctx == nil {
		*ctx = context.Background()
	}
	found := carrierIn[S](*ctx)
	if found == c {
		return
	}
	if found != nil {
		for _, set := range found.pending {
			set(c.settings)
		}
	}
	c.Context = *ctx
	*ctx = c
}

// release ends applying options, and returns the context that the user's options made.
func (c *carrier[S]) release(ctx context.Context) context.Context {
	c.settings = nil
	if ctx == context.Context(c) {
		return c.Context
	}
	return ctx
}

// read applies options to generic and to the settings of c. ctx is the context of
// generic, through which options reach the settings.
func read[S any, O ~func(*G), G any](c *carrier[S], generic *G, ctx *context.Context, opts []O) {
	c.keep(ctx)
	for _, opt := range opts {
		if opt != nil {
			opt(generic)
			c.keep(ctx)
		}
	}
	*ctx = c.release(*ctx) //nolint:fatcontext // takes the carrier out again
}
