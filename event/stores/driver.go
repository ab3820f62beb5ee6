package stores

import (
	"cmp"
	"strings"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

func outboxDriver(c *v1.Settings) string { return cmp.Or(c.GetOutbox().GetDriver(), DriverNone) }

func dedupDriver(c *v1.Settings) string { return cmp.Or(c.GetDedup().GetDriver(), DriverNone) }

// DeadLettersDriver returns the driver of a configuration: the one it names, else DriverFile
// if a path is set, else DriverRetained.
func DeadLettersDriver(c *v1.DeadLetters) string {
	otherwise := DriverRetained
	if c.GetPath() != "" {
		otherwise = DriverFile
	}
	return cmp.Or(c.GetDriver(), otherwise)
}

// list formats names as "a, b or c".
func list(names []string) string {
	n := len(names) - 1
	return strings.Join(names[:n], ", ") + " or " + names[n]
}
