// Package biz decides what happens to reports and telemetry. It knows neither
// how messages travel nor where rows are kept: it owns the interfaces for both.
package biz

import (
	"context"

	"github.com/google/wire"
)

// ProviderSet provides the use cases.
var ProviderSet = wire.NewSet(NewReportUsecase, NewDeviceUsecase)

// Page selects a part of a list, newest first.
type Page struct {
	// Size is the largest number of entries wanted, at least 1.
	Size int
	// Bytes is where the page ends, too: with the entry before the one that would
	// take its data beyond them, and not before the first. 0 for nowhere.
	Bytes int
	// Before is the cursor that the page before ended with, 0 for the newest
	// page.
	Before int64
}

// Transaction makes what is saved and published take effect together, or not at
// all. Publishing takes part where messages wait in the same database.
type Transaction interface {
	// InTx calls f with a context that carries the transaction, and commits when
	// f returned nil. Within a transaction f joins that one.
	InTx(ctx context.Context, f func(context.Context) error) error
}
