package outboxsql

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// full makes [outbox.ErrFull] of the error of a disk that is full, or of a
// database at the bound of its size. Drivers have types of their own for it,
// none of which is linked here; the texts are those of the databases.
func full(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", outbox.ErrFull, err)
	}
	return err
}

func isFull(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	for _, part := range []string{
		"database or disk is full", // SQLITE_FULL
		"SQLSTATE 53100",           // disk_full
		"No space left on device",
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
