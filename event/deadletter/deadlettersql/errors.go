package deadlettersql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// putError wraps an error of Put with ErrUnfit if the database will never accept the letter.
func putError(err error) error {
	err = fmt.Errorf("deadlettersql: put: %w", err)
	if unfit(err) {
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	}
	return err
}

// sqliteTooBig is the primary result code for a row that exceeds the limit.
const sqliteTooBig = 18

func unfit(err error) bool {
	// SQLSTATE classes of PostgreSQL: 22 is about invalid data, 54 about limits, such as the
	// size of an index row.
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
