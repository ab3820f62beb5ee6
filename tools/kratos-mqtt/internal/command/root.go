// Package command has the commands of kratos-mqtt, each in a file with its name.
package command

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Terminal is what a command reads and writes.
type Terminal struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv returns an environment variable, or "".
	Getenv func(name string) string
	// Interactive is set if a person reads Err and answers on In: only then questions are
	// asked, and progress is shown.
	Interactive bool
}

// ExitError ends the program with a code of its own. Without Err it says no more, because the
// command has written what there is to say.
type ExitError struct {
	Code int
	Err  error
}

// Error returns the error without the code.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the error.
func (e *ExitError) Unwrap() error { return e.Err }

// New returns the root command.
func New(t Terminal) *cobra.Command {
	s := &session{Terminal: t}
	root := &cobra.Command{
		Use:   "kratos-mqtt",
		Short: "See, explain and repair MQTT events of Kratos services",
		Long: `See, explain and repair MQTT events of Kratos services.

Every command that connects takes the broker from --broker, else from the context in use
(kratos-mqtt context add NAME --broker URL), else from KRATOS_MQTT_BROKER. Every command that asks
a running service takes it from --operator, else from the context, else from KRATOS_MQTT_OPERATOR.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetIn(t.In)
	root.SetOut(t.Out)
	root.SetErr(t.Err)
	s.flags(root.PersistentFlags())
	root.AddGroup(
		&cobra.Group{ID: groupSee, Title: "See"}, &cobra.Group{ID: groupRepair, Title: "Repair"},
		&cobra.Group{ID: groupDevelop, Title: "Develop"}, &cobra.Group{ID: groupSettings, Title: "Settings"},
	)
	root.AddCommand(
		s.contextCommand(), s.publishCommand(), s.tailCommand(), s.recordCommand(), s.playCommand(),
		s.simulateCommand(), s.benchCommand(),
		s.newCommand(), s.addCommand(), s.eventCommand(), s.removeCommand(), s.generateCommand(),
		s.doctorCommand(), s.explainCommand(), s.brokerCommand(), s.devCommand(),
		s.lettersCommand(), s.parkedCommand(), s.outboxCommand(), s.retainedCommand(), s.subscriptionsCommand(), s.statusCommand(), s.checkCommand(),
	)
	nameInterrupts(root)
	return root
}

// Groups of commands in the help.
const (
	groupSee      = "see"
	groupRepair   = "repair"
	groupDevelop  = "develop"
	groupSettings = "settings"
)

// usageError returns an error about the arguments of a command.
func usageError(c *cobra.Command, format string, args ...any) error {
	return fmt.Errorf("%s: %w: see %s --help", c.Name(), fmt.Errorf(format, args...), c.CommandPath())
}
