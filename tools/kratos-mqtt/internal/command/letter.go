package command

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

func (d *letterDesk) show() *cobra.Command {
	raw := false
	c := &cobra.Command{
		Use: "show ID", Args: cobra.ExactArgs(1), Short: "Show one of the " + d.what + " with its payload decoded",
		ValidArgsFunction: d.s.completeArgs(1, func(ctx context.Context) []string { return d.s.letterChoices(ctx, d.state) }),
		RunE: func(c *cobra.Command, args []string) error {
			at, err := d.s.service()
			if err != nil {
				return err
			}
			shown, err := at.Operator.GetLetter(c.Context(), &operatorv1.GetLetterRequest{Id: args[0]})
			switch {
			case err != nil:
				return explained(err)
			case raw && terminal.IsTerminal(d.s.Out):
				return errors.New("a payload can change what the terminal does: send it to a file or another program, or leave out --raw")
			case raw:
				_, err = d.s.Out.Write(shown.GetPayload())
				return err
			case d.s.json:
				return d.s.writeJSON(asJSON(shown))
			}
			return writeLetter(d.s.Out, shown)
		},
	}
	c.Flags().BoolVar(&raw, "raw", false, "write the payload as it is, and nothing else")
	return c
}

// writeLetter writes a letter for a person.
func writeLetter(w io.Writer, shown *operatorv1.GetLetterReply) error {
	l, out := shown.GetLetter(), new(bytes.Buffer)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(out, "%-13s %s\n", name, printable(value))
		}
	}
	number := func(name string, n int64) {
		if n != 0 {
			line(name, strconv.FormatInt(n, 10))
		}
	}
	line("id", l.GetId())
	line("state", strings.ToLower(strings.TrimPrefix(l.GetState().String(), "STATE_")))
	line("topic", l.GetTopic())
	line("operation", l.GetOperation())
	line("subscription", l.GetSubscription())
	line("key", l.GetKey())
	line("event id", l.GetEventId())
	line("received", at(l.GetReceived()))
	line("failed", at(l.GetTime()))
	if l.GetUntil() != nil {
		line("until", at(l.GetUntil()))
	}
	number("attempts", int64(l.GetAttempts()))
	line("error", l.GetErrorType())
	line("reason", l.GetReason())
	line("group", l.GetFingerprint())
	line("suspect", l.GetSuspect())
	line("omitted", l.GetOmitted())
	number("replays", int64(l.GetReplays()))
	if e := l.GetEdit(); e != nil {
		line("edited", fmt.Sprintf("by %s at %s; SHA-256 of the payload before: %s", e.GetBy(), at(e.GetTime()), e.GetSha256()))
	}
	line("service", l.GetService())
	line("owner", l.GetOwner())
	line("origin", l.GetOrigin())
	line("qos", strconv.Itoa(int(l.GetQos())))
	line("content type", l.GetContentType())
	for _, h := range shown.GetHeaders() {
		line("header", h.GetKey()+": "+h.GetValue())
	}
	line("payload", fmt.Sprintf("%d bytes, decoder: %s", l.GetPayloadSize(), shown.GetDecoder()))
	line("note", shown.GetNote())
	out.WriteString(payloadText(shown))
	_, err := w.Write(out.Bytes())
	return err
}

// maxDump is how much of a payload without text is shown, in bytes.
const maxDump = 1024

// payloadText returns a payload as lines that a terminal can show.
func payloadText(shown *operatorv1.GetLetterReply) string {
	text := shown.GetText()
	switch {
	case text == "" && len(shown.GetPayload()) == 0:
		return ""
	case text == "":
		p := shown.GetPayload()
		more := ""
		if len(p) > maxDump {
			more = fmt.Sprintf("… %d bytes more: --raw writes all\n", len(p)-maxDump)
		}
		return "\n" + hex.Dump(p[:min(len(p), maxDump)]) + more
	}
	text = indented(text)
	var out strings.Builder
	for line := range strings.Lines("\n" + text) {
		out.WriteString(printable(strings.TrimSuffix(line, "\n")) + "\n")
	}
	return out.String()
}

// maxIndent is the depth up to which JSON is indented: the spaces of all its lines grow with the
// square of the depth.
const maxIndent = 100

// indented returns JSON with a line for each value. What is not JSON, or is nested more than
// maxIndent deep, is returned as it is.
func indented(text string) string {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			depth++
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
		if depth > maxIndent {
			return text
		}
	}
	out := new(bytes.Buffer)
	if json.Indent(out, []byte(text), "", "  ") != nil {
		return text
	}
	return out.String()
}
