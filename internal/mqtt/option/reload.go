package option

import (
	"errors"
	"fmt"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Reload reads a changed configuration by scan, and passes it to the targets. A change that is
// not valid is a line for fail and has no effect; each setting that needs a restart is one
// for warn. No line comes twice.
func Reload[T interface{ Reload(c *v1.Settings) error }](key string, scan func(to any) error, targets []T, warn, fail func(line string)) {
	s := new(v1.Settings)
	if err := scan(s); err != nil {
		fail(fmt.Sprintf("mqtt: the changed configuration %q is not used: %v", key, err))
		return
	}
	told := make(map[string]bool)
	for _, t := range targets {
		for _, err := range each(t.Reload(s)) {
			switch text := err.Error(); {
			case told[text]:
			case errors.Is(err, event.ErrNeedsRestart):
				told[text] = true
				warn(fmt.Sprintf("mqtt: changed configuration %q: %v", key, err))
			default:
				told[text] = true
				fail(fmt.Sprintf("mqtt: the changed configuration %q is not used: %v", key, err))
			}
		}
	}
}

// each returns the errors that were joined.
func each(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
