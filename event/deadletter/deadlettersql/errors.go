package deadlettersql

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

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
