package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// editing has the flags of letters edit.
type editing struct {
	d                                *letterDesk
	text, file, payload, contentType string
	by                               string
	confirmed, dry, yes              bool
}

func (d *letterDesk) editCommand() *cobra.Command {
	e := &editing{d: d}
	c := &cobra.Command{
		Use: "edit ID", Args: cobra.ExactArgs(1), Short: "Replay a letter with another payload",
		Long: `Replays a letter with another payload, and deletes the letter once the broker has the message.

The new payload is the JSON of the message that the operation declares, or the new JSON or text of
a payload that was JSON or text. It comes from --text, from --file, or from the editor that VISUAL
or EDITOR names, which shows the present one. --payload sends the bytes of a file as they are: the
only way for a codec that the service adds to those of protobuf and JSON.

The service encodes it before anything is changed. The message and the log of the service keep your
name, the time and the hash of the payload before the edit.`,
		Example: `kratos-mqtt letters edit ID
kratos-mqtt letters edit ID --text '{"device_id":"d1","temperature":21}'`,
		ValidArgsFunction: d.s.completeArgs(1, func(ctx context.Context) []string { return d.s.letterChoices(ctx, d.state) }),
		RunE:              func(c *cobra.Command, args []string) error { return e.run(c, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&e.text, "text", "", "new payload, as JSON or text")
	f.StringVarP(&e.file, "file", "f", "", "file with the new payload, as JSON or text; - is standard input")
	f.StringVar(&e.payload, "payload", "", "file with the bytes of the new payload")
	f.StringVar(&e.contentType, "content-type", "", "new content type")
	f.BoolVar(&e.confirmed, "confirmed", false, "also if the service may not have written the letter")
	f.BoolVarP(&e.dry, "dry-run", "n", false, "change nothing: encode only")
	f.BoolVarP(&e.yes, "yes", "y", false, "do not ask")
	f.StringVar(&e.by, "by", "", "your name, which stays with the message (default: KRATOS_MQTT_USER, else your login)")
	c.MarkFlagsMutuallyExclusive("text", "file", "payload")
	return c
}

func (e *editing) run(c *cobra.Command, id string) error {
	s := e.d.s
	if e.by = s.person(e.by); e.by == "" {
		return usageError(c, "want --by NAME: an edit has the name of its editor")
	}
	at, err := s.service()
	if err != nil {
		return err
	}
	r := &operatorv1.ReplayEditedRequest{Id: id, ContentType: e.contentType, Confirmed: e.confirmed, By: e.by}
	edited := false
	switch {
	case c.Flags().Changed("text"):
		r.Text = e.text
	case e.file != "":
		r.Text, err = e.read(e.file)
	case e.payload != "":
		r.Payload, err = os.ReadFile(e.payload)
	default:
		edited = true
		err = e.edit(c.Context(), at.Operator, r)
	}
	if err != nil {
		return err
	}
	if !edited { // the editor has checked it
		if err := e.try(c.Context(), at.Operator, r); err != nil {
			return err
		}
	}
	if e.dry {
		return e.say("the new payload can be sent", id, false)
	}
	if edited {
		if err := s.confirm(e.yes, "replay the letter with this payload"); err != nil {
			return err
		}
	}
	if _, err := at.Operator.ReplayEdited(c.Context(), r); err != nil {
		return explained(err)
	}
	return e.say("replayed", id, true)
}

// editResult is what letters edit writes as JSON.
type editResult struct {
	ID       string `json:"id"`
	Replayed bool   `json:"replayed"`
}

func (e *editing) say(text, id string, replayed bool) error {
	if e.d.s.json {
		return e.d.s.writeJSON(editResult{id, replayed})
	}
	_, err := fmt.Fprintln(e.d.s.Out, text)
	return err
}

func (e *editing) read(file string) (string, error) {
	if file == "-" {
		text, err := io.ReadAll(e.d.s.In)
		return string(text), err
	}
	text, err := os.ReadFile(file)
	return string(text), err
}

// try has the service encode a payload without sending it.
func (e *editing) try(ctx context.Context, ask operatorv1.OperatorServiceClient, r *operatorv1.ReplayEditedRequest) error {
	r.DryRun = true
	defer func() { r.DryRun = false }()
	_, err := ask.ReplayEdited(ctx, r)
	return explained(err)
}

// edit opens the payload in the user's editor, again and again until the service can encode it
// or the user does not want to go on.
func (e *editing) edit(ctx context.Context, ask operatorv1.OperatorServiceClient, r *operatorv1.ReplayEditedRequest) error {
	s := e.d.s
	editor := strings.Fields(cmp.Or(s.Getenv("VISUAL"), s.Getenv("EDITOR")))
	if len(editor) == 0 {
		return errors.New("no editor: set VISUAL or EDITOR, or pass --text or --file")
	}
	shown, err := ask.GetLetter(ctx, &operatorv1.GetLetterRequest{Id: r.GetId()})
	if err != nil {
		return explained(err)
	}
	r.Text = "{}" // an empty message shows whether the service can encode one at all
	if shown.GetDecoder() == decode.Raw && shown.GetLetter().GetOperation() != "" {
		if err := e.try(ctx, ask, r); err != nil {
			return err
		}
	}
	file, text, err := draft(shown)
	if err != nil {
		return err
	}
	for {
		run := exec.CommandContext(ctx, editor[0], append(editor[1:], file)...) //nolint:gosec // the user's own editor
		run.Stdout, run.Stderr = s.Out, s.Err
		if terminal, ok := s.In.(*os.File); ok { // another reader would be read to its end
			run.Stdin = terminal
		}
		if err := run.Run(); err != nil {
			return fmt.Errorf("%s: %w; the draft is %s", editor[0], err, file)
		}
		now, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if string(now) == text {
			_ = os.Remove(file)
			return errors.New("the payload is unchanged: nothing was replayed")
		}
		r.Text = string(now)
		if err = e.try(ctx, ask, r); err == nil {
			return os.Remove(file)
		}
		if !s.Interactive {
			return fmt.Errorf("%w; the draft is %s", err, file)
		}
		fmt.Fprintln(s.Err, err)
		if again := s.confirm(false, "edit it again"); again != nil {
			return fmt.Errorf("%w; the draft is %s", again, file)
		}
	}
}

// draft writes a payload to a file that only this user can read, and returns its path and text.
func draft(shown *operatorv1.GetLetterReply) (file, text string, err error) {
	name, text := "letter-*.txt", shown.GetText()
	switch decoder := shown.GetDecoder(); {
	case decoder == decode.JSON, strings.HasPrefix(decoder, decode.Proto):
		name, text = "letter-*.json", indented(text)+"\n"
	case shown.GetLetter().GetOperation() != "": // its payload is not a message: begin with an empty one
		name, text = "letter-*.json", "{\n}\n"
	}
	f, err := os.CreateTemp("", name)
	if err != nil {
		return "", "", err
	}
	_, err = f.WriteString(text)
	return f.Name(), text, errors.Join(err, f.Close())
}
