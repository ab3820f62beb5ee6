package deadlettersql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

var _ deadletter.Claimer = (*Store)(nil)

// Claim implements [deadletter.Claimer], by the clock of the database.
func (s *Store) Claim(ctx context.Context, id string, d time.Duration) (bool, error) {
	n, err := s.affects(sqltx.With(ctx, nil), s.sql.claim, id, d.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("deadlettersql: claim: %w", err)
	}
	return n > 0, nil
}

// Release implements [deadletter.Claimer].
func (s *Store) Release(ctx context.Context, id string) error {
	if _, err := s.affects(sqltx.With(ctx, nil), s.sql.release, id); err != nil {
		return fmt.Errorf("deadlettersql: release: %w", err)
	}
	return nil
}

// putError tells what the database refuses for what the letter is.
func putError(err error) error {
	err = fmt.Errorf("deadlettersql: put: %w", err)
	if unfit(err) {
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	}
	return err
}

// sqliteTooBig is the primary result code of a row that is over the limit.
const sqliteTooBig = 18

func unfit(err error) bool {
	// Of PostgreSQL, class 22 is about the data, 54 about limits, as that of a
	// row of an index.
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return strings.HasPrefix(e.SQLState(), "22") || strings.HasPrefix(e.SQLState(), "54")
	}
	e, ok := errors.AsType[interface {
		error
		Code() int
	}](err)
	return ok && e.Code()&0xff == sqliteTooBig
}
