package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/recording"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// playing has the flags of play.
type playing struct {
	speed, rate float64
	prefix      string
	retain      bool
	times       int
}

func (s *session) playCommand() *cobra.Command {
	p := new(playing)
	c := &cobra.Command{
		Use: "play FILE", GroupID: groupDevelop, Args: cobra.ExactArgs(1),
		Short: "Publish the messages of a recording, at their pace or another",
		Long: `Publishes the messages of a recording in their order, and waits until the broker has
acknowledged them.

The pauses are those of the recording, divided by --speed; with --speed 0 there are none. --rate
publishes at a constant rate instead. Messages that were retained are published without the
retain flag, unless --retain is given. With --prefix the response topics of requests have it, too:
replies stay below it.`,
		Example: `kratos-mqtt play monday.rec --speed 10
kratos-mqtt play monday.rec --rate 500 --prefix staging/`,
		RunE: func(c *cobra.Command, args []string) error { return s.play(c, p, args[0]) },
	}
	f := c.Flags()
	f.Float64Var(&p.speed, "speed", 1, "how much faster than recorded; 0 means without pauses")
	f.Float64Var(&p.rate, "rate", 0, "messages a second, in place of the pauses of the recording")
	f.StringVar(&p.prefix, "prefix", "", "topic below which the messages are published, with or without / at its end")
	f.BoolVarP(&p.retain, "retain", "r", false, "retain the messages that were retained")
	f.IntVarP(&p.times, "count", "n", 1, "how often to play the recording")
	return c
}

func (s *session) play(c *cobra.Command, p *playing, path string) error {
	if p.speed < 0 || p.rate < 0 || p.times < 1 {
		return usageError(c, "--speed is %v, --rate %v and --count %d, want 0 or more, and a count of at least 1", p.speed, p.rate, p.times)
	}
	if p.prefix != "" {
		p.prefix = strings.TrimSuffix(p.prefix, "/") + "/"
	}
	r, err := recording.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	publisher, disconnect, err := s.publisher(c.Context())
	if err != nil {
		return err
	}
	defer disconnect()
	progress := terminal.NewProgress(s.Err, "messages", 0)
	out := &sending{publisher: publisher, progress: progress}
	for range p.times {
		if err = p.recording(c.Context(), out, r); err != nil {
			break
		}
		if err = r.Rewind(); err != nil {
			break
		}
	}
	err = out.wait(c.Context(), err)
	progress.End()
	fmt.Fprintf(s.Err, "%d messages published\n", progress.Done())
	return err
}

// recording publishes the messages of a recording.
func (p *playing) recording(ctx context.Context, out *sending, r *recording.Reader) error {
	limit := limiter(p.rate)
	var first, began time.Time
	for {
		m, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case first.IsZero():
			first, began = m.Time, time.Now()
		}
		if p.rate > 0 {
			err = limit.Wait(ctx)
		} else if p.speed > 0 {
			err = until(ctx, began.Add(time.Duration(float64(m.Time.Sub(first))/p.speed)))
		}
		if err != nil {
			return err
		}
		if err := out.message(ctx, p.below(m.Message)); err != nil {
			return err
		}
	}
}

// below returns a message as it is published: below the prefix, as its reply is.
func (p *playing) below(m message.Message) *message.Message {
	m.Topic = p.prefix + m.Topic
	if m.ResponseTopic != "" {
		m.ResponseTopic = p.prefix + m.ResponseTopic
	}
	m.Retain = m.Retain && p.retain
	return &m
}
