package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errNotConfirmed is the error of an act that somebody declined.
var errNotConfirmed = errors.New("not confirmed: nothing was changed")

// confirm asks whether to do something, and returns nil if the answer is yes. Without a person
// to ask it refuses.
func (t *Terminal) confirm(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	if !t.Interactive {
		return fmt.Errorf("%s: want --yes, because there is no terminal to ask on", question)
	}
	fmt.Fprintf(t.Err, "%s? [y/N] ", question)
	answer, err := bufio.NewReader(t.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errNotConfirmed
}

// statusLine shows a line that is replaced, if a person reads it.
type statusLine struct {
	to    io.Writer
	shown bool
}

func (t *Terminal) statusLine() *statusLine {
	if !t.Interactive {
		return &statusLine{to: io.Discard}
	}
	return &statusLine{to: t.Err}
}

func (l *statusLine) showf(format string, args ...any) {
	l.shown = true
	fmt.Fprintf(l.to, "\r\x1b[K"+format, args...)
}

// clear removes the line.
func (l *statusLine) clear() {
	if l.shown {
		fmt.Fprint(l.to, "\r\x1b[K")
	}
}
