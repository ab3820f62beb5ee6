package outboxsql

import (
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// full wraps err with [outbox.ErrFull] if the disk is full or the database has reached its
// maximum size. The error types of drivers are not linked here, so it compares the texts,
// which come from the databases.
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
