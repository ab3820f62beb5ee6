// Package biz decides what happens to reports and telemetry. It does not know how
// messages are transported or rows are stored: it defines the interfaces for both.
package biz

import (
	"context"

	"github.com/google/wire"
)

// ProviderSet provides the use cases.
var ProviderSet = wire.NewSet(NewReportUsecase, NewDeviceUsecase)

// Page selects a part of a list, newest entry first.
type Page struct {
	// Size is the largest number of entries wanted, at least 1.
	Size int
	// Bytes bounds the data of the page: the page ends before the entry that would
	// exceed it, but has at least one entry. 0 means no bound.
	Bytes int
	// Before is the cursor that the previous page returned, 0 for the first page.
	Before int64
}

// Transaction makes what is saved and published take effect together or not at
// all. Publishing takes part only if the outbox is in the same database.
type Transaction interface {
	// InTx calls f with a context that carries a transaction, and commits it if f
	// returns nil. If ctx already carries a transaction, f joins it.
	InTx(ctx context.Context, f func(context.Context) error) error
}
