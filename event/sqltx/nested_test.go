package sqltx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// What fails inside a part undoes that part when the part fails, too, at any
// depth, and nothing around it. stores.md 8.
func TestNestedInNestedUndoesItsPart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db database) {
		err := sqltx.Run(t.Context(), db.DB, func(ctx context.Context) error {
			if err := db.insert(ctx, 1); err != nil {
				return err
			}
			outer := sqltx.Nested(ctx, db.DB, func(ctx context.Context) error {
				if err := db.insert(ctx, 2); err != nil {
					return err
				}
				middle := sqltx.Nested(ctx, db.DB, func(ctx context.Context) error {
					if err := db.insert(ctx, 3); err != nil {
						return err
					}
					return sqltx.Nested(ctx, db.DB, func(ctx context.Context) error {
						return errors.Join(db.insert(ctx, 4), errBoom)
					})
				})
				return errors.Join(middle, db.insert(ctx, 5))
			})
			if !errors.Is(outer, errBoom) {
				t.Errorf("outer: %v", outer)
			}
			// What went well before and after stays.
			return errors.Join(
				sqltx.Nested(ctx, db.DB, func(ctx context.Context) error {
					inner := sqltx.Nested(ctx, db.DB, func(ctx context.Context) error { return errors.Join(db.insert(ctx, 6), errBoom) })
					if !errors.Is(inner, errBoom) {
						t.Errorf("inner: %v", inner)
					}
					return db.insert(ctx, 7)
				}),
				db.insert(ctx, 8),
			)
		})
		if err != nil {
			t.Fatal(err)
		}
		db.want(t, 1, 7, 8)
	})
}
