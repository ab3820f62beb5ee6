// Command kratos-mqtt shows, explains and repairs what a service sends and receives over
// MQTT, and starts a broker for development. See kratos-mqtt --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/charmbracelet/fang"
	"github.com/charmbracelet/x/term"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/command"
)

// Version is set by the linker.
var Version = "dev"

func main() {
	root := command.New(command.Terminal{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv,
		Interactive: term.IsTerminal(os.Stdin.Fd()) && term.IsTerminal(os.Stderr.Fd()),
	})
	err := fang.Execute(context.Background(), root, fang.WithVersion(Version), fang.WithNotifySignal(os.Interrupt, syscall.SIGTERM), fang.WithErrorHandler(report))
	var exit *command.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.Code)
	case err != nil:
		os.Exit(1)
	}
}

// report writes an error as it is: the names in it are upper and lower case on purpose.
func report(w io.Writer, styles fang.Styles, err error) {
	if exit := new(command.ExitError); errors.As(err, &exit) && exit.Err == nil {
		return
	}
	_, _ = fmt.Fprintln(w, styles.ErrorHeader.UnsetMargins().Render("kratos-mqtt"), err)
}
