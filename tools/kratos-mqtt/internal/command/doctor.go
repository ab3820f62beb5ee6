package command

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/doctor"
)

func (s *session) doctorCommand() *cobra.Command {
	var o doctor.Options
	c := &cobra.Command{
		Use: "doctor [URL]", GroupID: groupSee, Args: cobra.MaximumNArgs(1),
		Short: "Measure what a broker does, and advise on settings",
		Long: `Measures what a broker does, once with MQTT 3.1.1 and once with MQTT 5: which QoS it delivers,
whether groups, retained messages and sessions work, how many messages wait for a session that
is away, how large a payload may be, whether a refused publish is visible, and how long a
message takes. It takes about half a minute.

The topics are below a random level, or below --prefix if the access rules demand one. Sessions
and retained messages are deleted at the end, also after Ctrl-C. At most --max-queued
small messages and a few payloads up to --max-payload are sent.

With a URL the credentials and TLS files are those of the flags, because the context in use has
the password of another broker; without it, or with --context, those of the context. --protocol
restricts it to one version. With --json each finding is a line, and the last line has the
preset and the settings. The exit code is 1 if the broker accepts no connection.`,
		Example: `kratos-mqtt doctor mqtt://127.0.0.1:1883
kratos-mqtt doctor mqtts://broker.example:8883 --ca ca.pem --username ops --password-file ./password
kratos-mqtt doctor --context plant --prefix ops --forbidden devices/7/cmd`,
		RunE: func(c *cobra.Command, args []string) error { return s.doctor(c, o, args) },
	}
	f := c.Flags()
	f.StringVar(&o.Prefix, "prefix", "", "topic below which the messages of the doctor are permitted")
	f.StringVar(&o.Forbidden, "forbidden", "", "topic on which the access rules forbid this user to publish (default: one below $SYS)")
	f.IntVar(&o.MaxQueue, "max-queued", 2000, "number of messages to leave waiting in a session")
	f.IntVar(&o.MaxPayload, "max-payload", 1<<20, "size of the largest payload to send, in bytes")
	f.DurationVar(&o.Wait, "timeout", 5*time.Second, "how long to wait for each answer of the broker")
	f.DurationVar(&o.Quiet, "quiet", time.Second, "time without a message after which none is expected")
	return c
}

func (s *session) doctor(c *cobra.Command, o doctor.Options, args []string) error {
	place, err := s.patient(args)
	if err != nil {
		return err
	}
	switch {
	case len(place.Mqtt.Addresses) == 0:
		return errNoBroker
	case o.MaxQueue < 1 || o.MaxQueue > 1_000_000:
		return usageError(c, "--max-queued is %d, want 1 to 1000000", o.MaxQueue)
	case o.MaxPayload < 1 || o.MaxPayload > 128<<20:
		return usageError(c, "--max-payload is %d, want 1 to %d", o.MaxPayload, 128<<20)
	}
	o.Connection = place.Mqtt
	if !s.json && s.verbose {
		o.Begin = func(check, protocol string) { fmt.Fprintln(s.Err, "measuring", check, protocol) }
	}
	report, err := doctor.Run(c.Context(), o)
	if report == nil {
		return err
	}
	return errors.Join(s.writeReport(report), err)
}

// patient returns how to connect. A URL is measured without the context in use, whose password
// is for another broker.
func (s *session) patient(args []string) (*cliv1.Context, error) {
	if len(args) == 0 || s.name != "" {
		place, err := s.context()
		if err == nil && len(args) > 0 {
			place.Mqtt.Addresses = args
		}
		return place, err
	}
	place := new(cliv1.Context)
	s.override(place)
	place.Mqtt.Addresses = args
	return place, nil
}

func (s *session) writeReport(r *doctor.Report) error {
	if s.json {
		for _, f := range r.Findings {
			if err := s.writeJSON(f); err != nil {
				return err
			}
		}
		return s.writeJSON(r)
	}
	t := s.table("check", "MQTT", "", "result")
	for _, row := range r.Rows() {
		t.add(nil, row.Check, row.Protocols, string(row.Grade), row.Result)
	}
	if err := t.write(); err != nil {
		return err
	}
	for i, advice := range r.Advice() {
		if i == 0 {
			fmt.Fprintln(s.Out, "\nAdvice")
		}
		fmt.Fprintln(s.Out, "-", printable(advice))
	}
	fmt.Fprintln(s.Out, "\nSettings")
	for _, line := range r.Settings {
		fmt.Fprintln(s.Out, " ", line)
	}
	_, err := fmt.Fprintf(s.Out, "  # %s\n", printable(r.Reason))
	return err
}
